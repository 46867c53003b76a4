package admin

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/field"
	"postern.dev/postern/internal/funclog"
)

var (
	errTwoBodies   = fault.New(fault.Invalid, "there is a body and a bodyBase64").WithHint("send one of them")
	errBase64      = fault.New(fault.Invalid, "bodyBase64 is not base64").WithHint("use the standard alphabet, with padding")
	errSentLarge   = fault.New(fault.Invalid, fmt.Sprintf("the body has more than %d bytes", maxSent)).WithCode("body_too_large").WithHint("call the function at its own address")
	errSentPath    = fault.New(fault.Invalid, "the path does not begin with a slash, or has a character that no address has").WithHint("percent-encode it, as /caf%C3%A9?q=a%20b")
	errSentMethod  = fault.New(fault.Invalid, "the method is none")
	errCredential  = fault.New(fault.Invalid, "a credential is among the headers").WithCode("credential_in_headers")
	errSentHeaders = fault.New(fault.Invalid, fmt.Sprintf("the headers have more than %d bytes", longestSentHeader))
)

// requestToSend makes a request of what was asked for, without an address yet,
// and tells which header fields were left out.
func requestToSend(in api.SendRequest) (r *http.Request, dropped []string, err error) {
	content := []byte(in.Body)
	if in.BodyBase64 != "" {
		if in.Body != "" {
			return nil, nil, errTwoBodies
		}
		if content, err = base64.StdEncoding.DecodeString(in.BodyBase64); err != nil {
			return nil, nil, errBase64
		}
	}
	switch {
	case len(content) > maxSent:
		return nil, nil, errSentLarge
	case !strings.HasPrefix(in.Path, "/") || strings.ContainsFunc(in.Path, func(c rune) bool { return c <= ' ' || c >= 0x7f || c == '#' }):
		return nil, nil, errSentPath
	case in.Method == "" || strings.ContainsFunc(in.Method, notToken):
		return nil, nil, errSentMethod
	}
	r = &http.Request{Method: in.Method, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, Body: http.NoBody, ContentLength: int64(len(content))}
	if len(content) > 0 {
		r.Body = io.NopCloser(bytes.NewReader(content))
	}
	path, query, _ := strings.Cut(in.Path, "?")
	r.URL = &url.URL{Path: path, RawQuery: query}
	if r.URL.Path, err = url.PathUnescape(path); err == nil { // the gateway reads it for itself, and refuses what is wrong
		r.URL.RawPath = path
	}
	dropped, err = fieldsToSend(r.Header, in.Headers)
	return r, dropped, err
}

// fieldsToSend puts into a header what may be sent, and tells what is left out:
// what the gateway would not pass on, what it says itself, and values that a log
// has removed. A credential is refused: as whom a request is sent is said by as,
// and one that is typed here would go past that.
func fieldsToSend(h http.Header, asked map[string]string) (dropped []string, err error) {
	size := 0
	for _, given := range slices.Sorted(maps.Keys(asked)) {
		value := strings.TrimSpace(asked[given])
		name := http.CanonicalHeaderKey(given)
		size += len(name) + len(value)
		switch {
		case given == "" || strings.ContainsFunc(given, notToken) || strings.ContainsFunc(value, notFieldValue):
			return nil, fault.New(fault.Invalid, fmt.Sprintf("%.40q is no header field, or has a value that none has", given))
		case value == funclog.Removed:
			dropped = append(dropped, name)
		case field.Credential(name) || field.Is(name, "proxy-authorization") || name == "Cookie" && strings.Contains(value, "postern-"):
			return nil, errCredential
		case field.Stripped(name, nil) || field.Is(name, "content-length") || field.Is(name, "expect") || field.Is(name, "x-request-id"):
			dropped = append(dropped, name)
		case h[name] != nil:
			return nil, fault.New(fault.Invalid, fmt.Sprintf("the header field %.40q is there twice", name)).WithHint("join its values with a comma")
		default:
			h[name] = []string{value}
		}
	}
	if size > longestSentHeader {
		return nil, errSentHeaders
	}
	return dropped, nil
}

// notToken reports what a name or method has not (RFC 9110 §5.6.2).
func notToken(c rune) bool {
	return c <= ' ' || c >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, c)
}

// notFieldValue reports what the value of a field has not (RFC 9110 §5.5).
func notFieldValue(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }

// pathOf is a path without its query, which may have what is secret.
func pathOf(target string) string {
	path, _, _ := strings.Cut(target, "?")
	return path
}

// hostOf is the host of an address.
func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Host
}
