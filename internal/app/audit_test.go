package app_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"postern.dev/postern/internal/app"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/store"
)

// What was decided at the three doors is in the log after an ordinary end, all
// of it, and without a secret.
func TestAudit_NothingIsLostAtTheEnd(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	secrets := []string{}
	project := ""
	for start := range 2 {
		s, err := app.New(t.Context(), load(t, data, "basic-rate", "100000", "basic-burst", "100000"), "test", io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		<-s.Ready()
		key, err := s.NewKey(t.Context(), fmt.Sprint("key", start))
		if err != nil {
			t.Fatal(err)
		}
		project = key.ProjectID
		secret := key.Secret.Reveal()
		secrets = append(secrets, secret, base64.StdEncoding.EncodeToString([]byte(key.ID+":"+secret)))
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 25 {
					status(t, s.ControlURL()+"/v1/whoami", key.ID, secret)
					status(t, s.ControlURL()+"/v1/projects/"+project+"/functions/"+secret, secret, key.ID)
					status(t, s.GatewayURL()+"/fn/"+secret+"/x?"+secret, secret, secret)
				}
			})
		}
		wg.Wait()
		for _, form := range []url.Values{
			{"grant_type": {"client_credentials"}, "client_id": {key.ID}, "client_secret": {secret}},
			{"grant_type": {"client_credentials"}, "client_id": {key.ID}, "client_secret": {secret + "x"}},
			{"grant_type": {"client_credentials"}, "client_id": {secret}, "client_secret": {key.ID}},
		} {
			res, err := http.PostForm(s.ControlURL()+"/oauth2/token", form)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(res.Body)
			res.Body.Close()
			if token, _, ok := strings.Cut(string(body), `","`); ok && res.StatusCode == 200 {
				secrets = append(secrets, token[strings.LastIndexByte(token, '"')+1:])
			}
		}
		http.DefaultClient.CloseIdleConnections()
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	}
	db, err := store.Open(t.Context(), "sqlite://"+filepath.Join(data, "postern.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	counts := map[string]int64{}
	for _, p := range []string{project, ""} {
		events, err := db.AuditEvents(t.Context(), p, platform.AuditFilter{}, "", 10_000)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			counts[fmt.Sprint(e.Door, " ", e.Action, " ", e.Outcome, " ", e.Status, " ", e.KeyID != "")] += e.Count
			for _, s := range secrets {
				if strings.Contains(fmt.Sprintf("%+v", e), s) {
					t.Errorf("an event holds a secret: %+v", e)
				}
			}
		}
	}
	for what, want := range map[string]int64{
		"control whoAmI allowed 200 true": 2 * 100, "control getFunction refused 401 false": 2 * 100, "gateway invoke refused 404 false": 2 * 100,
		"token issueToken allowed 200 true": 2, "token issueToken refused 401 false": 4,
	} {
		if counts[what] != want {
			t.Errorf("%s: %d, want %d; there are %v", what, counts[what], want, counts)
		}
	}
	if len(secrets) != 6 {
		t.Errorf("%d secrets were looked for", len(secrets))
	}
}
