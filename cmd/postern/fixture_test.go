package main_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// certificateCmd is `certificate CERT KEY`: makes a certificate for 127.0.0.1
// that the story's own client trusts.
func certificateCmd(ts *testscript.TestScript, neg bool, args []string) {
	transport, err := certify(ts.MkAbs(args[0]), ts.MkAbs(args[1]))
	ts.Check(err)
	worldOf(ts).client.Transport = transport
}

// certify writes a certificate for 127.0.0.1 and its key to two files, and
// returns a transport of HTTP/2 that trusts it.
func certify(certFile, keyFile string) (*http.Transport, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:         true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	err = errors.Join(
		os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
		os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600))
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}, err
}

// keyFromCmd is `keyfrom FILE NAME`: sets NAME to id:secret and NAME_ID to the
// id, from what `postern keys create --json` printed.
func keyFromCmd(ts *testscript.TestScript, neg bool, args []string) {
	var made struct {
		AccessKey struct{ AccessKeyID string }
		Secret    string
	}
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &made))
	if made.AccessKey.AccessKeyID == "" || made.Secret == "" {
		ts.Fatalf("no key in %s", ts.ReadFile(args[0]))
	}
	ts.Setenv(args[1], made.AccessKey.AccessKeyID+":"+made.Secret)
	ts.Setenv(args[1]+"_ID", made.AccessKey.AccessKeyID)
}

// fieldCmd is `field FILE MEMBER NAME`: sets NAME to a text member of the JSON
// object in a file.
func fieldCmd(ts *testscript.TestScript, neg bool, args []string) {
	var object map[string]any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &object))
	text, _ := object[args[1]].(string)
	if text == "" {
		ts.Fatalf("no %s in %s", args[1], ts.ReadFile(args[0]))
	}
	ts.Setenv(args[2], text)
}

// schemaCmd is `schema FILE VERSION`: makes a SQLite database look like one of
// that schema version. The driver is the one that the program itself links.
func schemaCmd(ts *testscript.TestScript, neg bool, args []string) {
	version, err := strconv.Atoi(args[1])
	ts.Check(err)
	db, err := sql.Open("sqlite", ts.MkAbs(args[0]))
	ts.Check(err)
	defer db.Close()
	_, err = db.Exec("INSERT INTO goose_db_version (version_id, is_applied) VALUES (?, ?)", version, true)
	ts.Check(err)
}
