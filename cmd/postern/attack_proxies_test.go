package main_test

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// Behind a trusted proxy the address that counts is the one that the proxy
// added, for keys, limits, logs and handlers, on both listeners; from anyone
// else the header counts for nothing.
func TestAttack_TrustedProxies(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	g.deployed(`{"name":"who","runtime":"node"}`, "export const auth = [];\nexport const who = (c: any, r: any) => ({ ip: r.ip, headers: r.headers });\n")
	_, bound := g.createKey("Bound", "--from", "192.0.2.0/24")
	id, controlling := g.createKey("Pipeline", "--from", "192.0.2.0/24", "--scope", "control")
	restart := func(proxies string) {
		if err := g.stop(); err != nil {
			t.Fatal(err)
		}
		g.start("--trusted-proxies", proxies, "--max-connections-per-address", "50")
		g.addr = strings.TrimPrefix(g.gateway, "http://")
	}
	request := func(headers ...string) string {
		return "GET /fn/f/webhook HTTP/1.1\r\nHost: h\r\nX-API-Key: " + bound + "\r\n" + strings.Join(append(headers, ""), "\r\n") + "Connection: close\r\n\r\n"
	}
	ask := func(url, forwarded string) (int, map[string]any) {
		t.Helper()
		tried(t, "by way of "+forwarded, url)
		req, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth(id, controlling)
		req.Header.Set("X-Forwarded-For", forwarded)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body)
		var body map[string]any
		json.Unmarshal(text, &body)
		return res.StatusCode, body
	}

	restart("127.0.0.1,10.0.0.0/8")
	denied := []int{403}
	g.try([]attempt{
		{"from an allowed address", request("X-Forwarded-For: 192.0.2.1"), fine, true},
		{"by way of two proxies", request("X-Forwarded-For: 192.0.2.1, 10.1.1.1"), fine, true},
		{"in two lines", request("X-Forwarded-For: 198.51.100.1", "X-Forwarded-For: 192.0.2.1"), fine, true},
		{"with a port", request("X-Forwarded-For: 192.0.2.1:4711"), fine, true},
		{"as IPv6", request("X-Forwarded-For: ::ffff:192.0.2.1"), fine, true},
		{"allowed address written by the caller", request("X-Forwarded-For: 192.0.2.1, 198.51.100.1"), denied, false},
		{"written in the line before", request("X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: 198.51.100.1"), denied, false},
		{"behind what is no address", request("X-Forwarded-For: 192.0.2.1, unknown"), denied, false},
		{"empty", request("X-Forwarded-For: "), denied, false},
		{"none", request(), denied, false},
		{"by an alias", request("X_Forwarded_For: 192.0.2.1"), denied, false},
		{"in other headers", request("Forwarded: for=192.0.2.1", "X-Real-IP: 192.0.2.1", "True-Client-IP: 192.0.2.1", "X-Client-IP: 192.0.2.1"), denied, false},
		{"in a folded header", request("X-Forwarded-For: 198.51.100.1", " , 192.0.2.1"), ambiguous, false},
		{"other forwarded headers move nothing", request("X-Forwarded-For: 192.0.2.1", "X-Forwarded-Host: g.localhost", "X-Forwarded-Proto: https", "X-Forwarded-Prefix: /x"), fine, true},
	})
	status, told := ask(g.gateway+"/fn/who/who", "6.6.6.6, 192.0.2.9")
	if status != 200 || told["ip"] != "192.0.2.9" {
		t.Errorf("%d: the handler is told of %v", status, told["ip"])
	}
	for name := range told["headers"].(map[string]any) {
		if strings.HasPrefix(name, "x-forwarded") || name == "forwarded" {
			t.Errorf("the handler saw the header %s", name)
		}
	}
	for forwarded, want := range map[string]int{"192.0.2.1": 200, "198.51.100.1": 403, "192.0.2.1, 198.51.100.1": 403, "": 403} {
		if got, _ := ask(g.control+"/v1/whoami", forwarded); got != want {
			t.Errorf("the control plane answers %d for %q, want %d", got, forwarded, want)
		}
	}
	for forwarded, want := range map[string]int{"": 200, "127.0.0.1": 200, "192.0.2.1": 404} {
		for _, path := range []string{"/metrics", "/debug/pprof/"} {
			if got, _ := ask(g.control+path, forwarded); got != want {
				t.Errorf("%s is answered with %d for %q, want %d", path, got, forwarded, want)
			}
		}
	}
	eventually(t, "the log names who called", func() bool { return strings.Contains(g.log(), `"remote":"192.0.2.9:0"`) })
	if out := g.must("audit", "--outcome", "refused", "--json"); !strings.Contains(out, "198.51.100.1") {
		t.Errorf("the audit log does not name who was refused: %s", out)
	}

	// The peer is no proxy now: nothing that it writes is believed.
	restart("10.0.0.0/8")
	g.try([]attempt{
		{"no proxy, allowed address", request("X-Forwarded-For: 192.0.2.1"), denied, false},
		{"no proxy, by way of one", request("X-Forwarded-For: 192.0.2.1, 10.1.1.1"), denied, false},
	})
	if got, _ := ask(g.control+"/v1/whoami", "192.0.2.1"); got != 403 {
		t.Errorf("the control plane answers %d", got)
	}
	if _, told := ask(g.gateway+"/fn/who/who", "192.0.2.9"); told["ip"] != "127.0.0.1" {
		t.Errorf("the handler is told of %v", told["ip"])
	}
	statuses := []int{}
	for range 60 { // connections of one address, which a header does not make another
		statuses = append(statuses, g.idle("X-Forwarded-For: 192.0.2.1\r\n"))
	}
	if open := len(statuses) - len(slices.DeleteFunc(slices.Clone(statuses), func(s int) bool { return s == 200 })); open == 0 || open > 50 {
		t.Errorf("%d of 60 connections of one address were open at a time", open)
	}
}
