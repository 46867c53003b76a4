package app_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/internal/app"
	"postern.dev/postern/internal/token"
)

func TestTrustedIssuers_Refused(t *testing.T) {
	t.Parallel()
	const good = `"issuer":"https://idp","jwksUrl":"https://idp/keys","audience":"a"`
	for name, text := range map[string]string{
		"no JSON": `{`, "no list": `{` + good + `,"projectId":"p"}`, "no project": `[{` + good + `}]`, "an unknown field": `[{` + good + `,"projectId":"p","scopes":"x"}]`,
		"twice": `[{` + good + `,"projectId":"p"},{` + good + `,"projectId":"q"}]`, "something after it": `[] []`,
		"no audience": `[{"issuer":"https://idp","jwksUrl":"https://idp/keys","projectId":"p"}]`, "keys in clear": `[{"issuer":"https://idp","jwksUrl":"http://idp/keys","audience":"a","projectId":"p"}]`,
	} {
		file := filepath.Join(t.TempDir(), "issuers.json")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := app.New(t.Context(), load(t, filepath.Join(t.TempDir(), "data"), "trusted-issuers", file), "test", io.Discard); err == nil || s != nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := app.New(t.Context(), load(t, filepath.Join(t.TempDir(), "data"), "trusted-issuers", "/nowhere"), "test", io.Discard); err == nil || !strings.Contains(err.Error(), "/nowhere") {
		t.Errorf("no file: %v", err)
	}
}

// A token of a trusted issuer is taken once its keys are here; on the control
// plane it is nobody.
func TestTrustedIssuers(t *testing.T) {
	t.Parallel()
	k, err := token.NewSigningKey(token.ES256, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	fetched := make(chan struct{}, 10)
	idp := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Write(token.NewKeySet(k.Public()).JWKS())
		fetched <- struct{}{}
	}))
	defer idp.Close()
	file := filepath.Join(t.TempDir(), "issuers.json")
	if err := os.WriteFile(file, []byte(`[{"issuer":"`+idp.URL+`","jwksUrl":"`+idp.URL+`/keys","audience":"postern","projectId":"prj_x"}]`), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := app.New(t.Context(), load(t, filepath.Join(t.TempDir(), "data"), "trusted-issuers", file), "test", new(bytes.Buffer))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	<-s.Ready()
	<-fetched
	raw, err := token.Sign(k, token.Claims{Issuer: idp.URL, Subject: "user", Audience: []string{"postern"}, Scope: "invoke control", IssuedAt: time.Now(), ExpiresAt: time.Now().Add(time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	ask := func() int {
		req, _ := http.NewRequestWithContext(t.Context(), "GET", s.ControlURL()+"/v1/whoami", nil)
		req.Header.Set("Authorization", "Bearer "+raw)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	got := ask()
	for tries := 0; got == 401 && tries < 3000; tries++ { // the keys were asked for, and come
		<-tick.C
		got = ask()
	}
	if got != 403 {
		t.Errorf("on the control plane: %d, want 403: known, and may not", got)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
