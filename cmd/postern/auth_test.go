package main_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"postern.dev/postern/internal/keychain/keychaintest"
)

// keyringCmd is `keyring start PASSWORD`, `keyring stop`, `keyring freeze` and
// `keyring lookup ACCOUNT`, which prints to the file lookup what secret-tool
// reads. The keyring lies in $WORK/keyring.
func keyringCmd(ts *testscript.TestScript, neg bool, args []string) {
	w := worldOf(ts)
	switch args[0] {
	case "start":
		s, err := keychaintest.Start(ts.MkAbs("keyring"), args[1])
		ts.Check(err)
		ts.Defer(s.Stop)
		w.keyring = s
		for _, pair := range s.Env {
			if address, ok := strings.CutPrefix(pair, "DBUS_SESSION_BUS_ADDRESS="); ok {
				ts.Setenv("DBUS_SESSION_BUS_ADDRESS", address)
			}
		}
	case "stop":
		w.keyring.Stop()
	case "freeze":
		ts.Check(w.keyring.Freeze())
	case "lookup":
		secret, err := w.keyring.Lookup("postern", args[1])
		if (err != nil) != neg {
			ts.Fatalf("secret-tool: %v, found %d bytes", err, len(secret))
		}
		ts.Check(os.WriteFile(ts.MkAbs("lookup"), []byte(secret), 0o600))
	default:
		ts.Fatalf("unknown: keyring %s", args[0])
	}
}

// pretended are servers that are no control plane of today.
var pretended = map[string]http.HandlerFunc{
	"older": func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusNotFound)
		io.WriteString(w, `{"code":"not_found","title":"There is nothing here"}`)
	},
	"page": func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, "<html>welcome")
	},
	"elsewhere": func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusTemporaryRedirect)
	},
	"other": func(w http.ResponseWriter, r *http.Request) { // tells of another key than was shown
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"access_token":"t","token_type":"bearer","projectId":"prj_1","accessKeyId":"pak_other"}`)
	},
	"nasty": func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		_, secret, _ := r.BasicAuth()
		io.WriteString(w, `{"error":"invalid_client","error_description":"\u001b[2J\u001b]0;owned\u0007sorry\r\u202e `+secret+`"}`)
	},
	"painted": func(w http.ResponseWriter, r *http.Request) { // accepts everybody
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"access_token":"t","token_type":"bearer","projectId":"prj\u001b[31m_1","accessKeyId":"pak_01jd0000000000000000000000","scopes":["\u001b[2Jcontrol"]}`)
	},
}

// pretendCmd is `pretend NAME`: starts one of them and sets PRETENDED.
func pretendCmd(ts *testscript.TestScript, neg bool, args []string) {
	h := pretended[args[0]]
	if h == nil {
		ts.Fatalf("no server %s", args[0])
	}
	s := httptest.NewServer(h)
	ts.Defer(s.Close)
	ts.Setenv("PRETENDED", s.URL)
}

// nowhereCmd is `nowhere TEXT`: fails if a file in a directory below $WORK
// holds the text. What stands in $WORK itself is the story's own.
func nowhereCmd(ts *testscript.TestScript, neg bool, args []string) {
	work := ts.Getenv("WORK")
	ts.Check(filepath.WalkDir(work, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || filepath.Dir(path) == work {
			return err
		}
		data, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(data), args[0]) {
			ts.Fatalf("%s holds it", path)
		}
		return err
	}))
}
