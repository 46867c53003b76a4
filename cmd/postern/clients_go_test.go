package main_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// tokenRequests is what the server counts at its token endpoint.
func (in *installation) tokenRequests(t *testing.T) map[string]int {
	t.Helper()
	status, text := call(t, http.DefaultClient, "GET", in.ControlURL()+"/metrics", "", "", "")
	counts := map[string]int{}
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, `postern_token_requests_total{result="`); ok {
			result, value, _ := strings.Cut(strings.TrimSpace(rest), `"} `)
			counts[result], _ = strconv.Atoi(value)
		}
	}
	if status != 200 {
		t.Fatalf("no counts: %d %s", status, text)
	}
	return counts
}

// counted runs do and fails unless the token endpoint counted exactly that.
func (in *installation) counted(t *testing.T, want map[string]int, do func()) {
	t.Helper()
	before := in.tokenRequests(t)
	do()
	got := in.tokenRequests(t)
	for result, n := range before {
		got[result] -= n
	}
	maps.DeleteFunc(got, func(_ string, n int) bool { return n == 0 })
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// newKey makes an access key that may call functions.
func (in *installation) newKey(t *testing.T, name string) (id, secret string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "POST", in.ControlURL()+"/v1/projects/"+in.key.ProjectID+"/accessKeys", strings.NewReader(fmt.Sprintf(`{"displayName":%q,"scopes":["invoke"]}`, name)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.SetBasicAuth(in.key.ID, in.key.Secret.Reveal())
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var made struct {
		AccessKey struct{ AccessKeyID string }
		Secret    string
	}
	if err := json.NewDecoder(res.Body).Decode(&made); err != nil || made.Secret == "" {
		t.Fatalf("no key: %d, %v", res.StatusCode, err)
	}
	return made.AccessKey.AccessKeyID, made.Secret
}

// ran is how often the guarded handler ran for a key.
func (in *installation) ran(t *testing.T, id string) int {
	t.Helper()
	var got struct{ Ran int }
	_, text := call(t, http.DefaultClient, "GET", in.GatewayURL()+"/fn/est/calls?key="+id, "", "", "")
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return got.Ran
}

// golang.org/x/oauth2, which finds out by trying how a server wants to see a
// client's credentials.
func TestClients_GoOAuth2(t *testing.T) {
	t.Parallel()
	in := install(t, nil)
	trunks := in.GatewayURL() + "/fn/est/v1/projects/" + in.key.ProjectID + "/trunks"
	configured := func(id, secret string, style oauth2.AuthStyle) *clientcredentials.Config {
		return &clientcredentials.Config{ClientID: id, ClientSecret: secret, TokenURL: in.ControlURL() + "/oauth2/token", AuthStyle: style}
	}
	granted := map[string]int{"granted": 1}
	for _, tc := range []struct {
		name     string
		style    oauth2.AuthStyle
		mistakes map[string]int // of three wrong secrets
	}{
		{"auto-detect", oauth2.AuthStyleAutoDetect, map[string]int{"invalid_client": 3, "repeated": 3}},
		{"in the header", oauth2.AuthStyleInHeader, map[string]int{"invalid_client": 3}},
		{"in the form", oauth2.AuthStyleInParams, map[string]int{"invalid_client": 3}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			id, secret := in.newKey(t, tc.name)
			in.counted(t, granted, func() {
				client := configured(id, secret, tc.style).Client(t.Context())
				for range 3 {
					if status, text := call(t, client, "GET", trunks, "", "", ""); status != 200 || !strings.Contains(text, id) {
						t.Errorf("%d %s", status, text)
					}
				}
			})
			if n := in.ran(t, id); n != 3 {
				t.Errorf("the handler ran %d times", n)
			}
			_, another := in.newKey(t, tc.name+", another")
			in.counted(t, tc.mistakes, func() {
				for _, wrong := range []string{another, secret + "x", "a+b/c==&%"} {
					_, err := configured(id, wrong, tc.style).Token(t.Context())
					if e, ok := errors.AsType[*oauth2.RetrieveError](err); !ok || e.ErrorCode != "invalid_client" || e.ErrorDescription == "" || e.Response.StatusCode != 401 || strings.Contains(err.Error(), wrong) {
						t.Errorf("%v", err)
					}
				}
			})
		})
	}

	t.Run("one wrong secret after another is within the limit", func(t *testing.T) {
		id, _ := in.newKey(t, "one after another")
		in.counted(t, map[string]int{"invalid_client": 18, "repeated": 18}, func() {
			for i := range 18 { // 36 calls, and the limit is 30, of which 9 were made above
				_, err := configured(id, "wrong-"+strconv.Itoa(i), oauth2.AuthStyleAutoDetect).Token(t.Context())
				if e, ok := errors.AsType[*oauth2.RetrieveError](err); !ok || e.ErrorCode != "invalid_client" {
					t.Fatalf("%d: %v", i, err)
				}
			}
		})
	})

	t.Run("what it asks for is what it gets", func(t *testing.T) {
		id, secret := in.newKey(t, "narrow")
		cfg := configured(id, secret, oauth2.AuthStyleAutoDetect)
		cfg.Scopes, cfg.EndpointParams = []string{"invoke"}, url.Values{"resource": {in.GatewayURL() + "/fn/est"}}
		tok, err := cfg.Token(t.Context())
		if err != nil || tok.Type() != "Bearer" || tok.Extra("scope") != "invoke" || time.Until(tok.Expiry) < 3500*time.Second {
			t.Fatalf("%+v, %v", tok, err)
		}
		if status, _ := call(t, oauth2.NewClient(t.Context(), oauth2.StaticTokenSource(tok)), "GET", trunks, "", "", ""); status != 200 {
			t.Errorf("at the function: %d", status)
		}
		if status, _ := call(t, oauth2.NewClient(t.Context(), oauth2.StaticTokenSource(tok)), "GET", in.ControlURL()+"/v1/whoami", "", "", ""); status != 401 {
			t.Errorf("at the control plane: %d", status)
		}
		cfg.Scopes = []string{"control"}
		_, err = cfg.Token(t.Context())
		if e, ok := errors.AsType[*oauth2.RetrieveError](err); !ok || e.ErrorCode != "invalid_scope" {
			t.Errorf("a scope that the key lacks: %v", err)
		}
	})
}

// Clients exist that look for the challenge under its name in lower case, in a
// header that they keep as it came: so what counts is the bytes.
func TestClients_ChallengeOnTheWire(t *testing.T) {
	t.Parallel()
	in := install(t, nil)
	gateway, control := strings.TrimPrefix(in.GatewayURL(), "http://"), strings.TrimPrefix(in.ControlURL(), "http://")
	for name, tc := range map[string]struct{ addr, head string }{
		"gateway, nothing shown":        {gateway, "GET /fn/est/trunks HTTP/1.1\r\nHost: " + gateway},
		"gateway, a token that is none": {gateway, "GET /fn/est/trunks HTTP/1.1\r\nHost: " + gateway + "\r\nAuthorization: Bearer x.y.z"},
		"gateway, a wrong secret":       {gateway, "GET /fn/est/trunks HTTP/1.1\r\nHost: " + gateway + "\r\nX-API-Key: x"},
		"token endpoint":                {control, "POST /oauth2/token HTTP/1.1\r\nHost: " + control + "\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 0"},
		"introspection":                 {control, "POST /oauth2/introspect HTTP/1.1\r\nHost: " + control + "\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 0"},
		"control plane, nothing shown":  {control, "GET /v1/whoami HTTP/1.1\r\nHost: " + control},
		"control plane, a bad token":    {control, "GET /v1/whoami HTTP/1.1\r\nHost: " + control + "\r\nAuthorization: Bearer x.y.z"},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", tc.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := io.WriteString(conn, tc.head+"\r\nConnection: close\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			var head bytes.Buffer
			lines := bufio.NewReader(conn)
			for line := ""; line != "\r\n"; head.WriteString(line) {
				if line, err = lines.ReadString('\n'); err != nil {
					t.Fatalf("%v after %q", err, head.String())
				}
			}
			if got := head.String(); !strings.HasPrefix(got, "HTTP/1.1 401 ") || strings.Count(strings.ToLower(got), "\r\nwww-authenticate: ") != 1 || !strings.Contains(got, "\r\nwww-authenticate: ") || strings.Contains(got, "expired") {
				t.Errorf("got %q", got)
			}
		})
	}
}
