package app

import (
	"crypto/tls"
	"net"
	"net/netip"

	"postern.dev/postern/internal/config"
)

// certificate loads the TLS settings that cfg names; nil without a certificate.
func certificate(cfg *config.Config) (*tls.Config, error) {
	if cfg.TLSCert == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(cfg.TLSCert, cfg.TLSKey)
	if err != nil {
		return nil, &config.Error{Problems: []config.Problem{{
			Key:  "tls-cert",
			Text: "the certificate cannot be used: " + err.Error(),
			Hint: "name PEM files that belong together with --tls-cert and --tls-key",
		}}}
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12,
		// A client's certificate is asked for and not verified here: a token is
		// bound to it by its thumbprint (RFC 8705 §3).
		ClientAuth: tls.RequestClientCert}, nil
}

// urlOf is the URL of a listener as somebody on this machine calls it.
func urlOf(ln net.Listener, secure bool) string {
	scheme := "http://"
	if secure {
		scheme = "https://"
	}
	host, port, err := net.SplitHostPort(ln.Addr().String())
	if err != nil {
		return scheme + ln.Addr().String()
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return scheme + net.JoinHostPort(host, port)
}

// onLoopback reports whether only this machine reaches the listener.
func onLoopback(ln net.Listener) bool {
	addr, ok := ln.Addr().(*net.TCPAddr)
	return ok && addr.IP.IsLoopback()
}
