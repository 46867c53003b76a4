package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/auth/authtest"
	"postern.dev/postern/internal/platform"
)

// keyOf is the policy of a partner's key with a digest, for one handler of two.
const keyOf = `version: 1
groups:
  partner: { rate: 1000000/s by key }
functions:
  f: { handlers: { webhook: { group: partner } } }
  g: { handlers: { webhook: { group: admin } } }
keys:
  - { id: %s, name: partner, digest: "sha256:%x", scopes: [invoke, control], groups: [partner] }
`

// apply makes a document the policy, as anybody would.
func (r *turning) apply(document string) {
	r.Helper()
	body, err := json.Marshal(map[string]string{"document": document})
	if err != nil {
		r.Fatal(err)
	}
	req, err := http.NewRequestWithContext(r.Context(), "PUT", r.control+"/v1/projects/"+r.k.ProjectID+"/gateway", bytes.NewReader(body))
	if err != nil {
		r.Fatal(err)
	}
	req.Header = http.Header{"Authorization": {r.admin}, "Content-Type": {"application/json"}}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		r.Fatal(err)
	}
	defer res.Body.Close()
	if text, _ := io.ReadAll(res.Body); res.StatusCode != 200 {
		r.Fatalf("%s %s", res.Status, text)
	}
}

// The key of a route is rotated 40 times by applying a policy with another
// digest, and nothing is deployed, while clients call in a loop with every
// secret that it ever had. What was acknowledged holds from the next request
// on; and the key of the partners never opens what is the admins'.
func TestPolicy_KeyRotatedWithoutDeploy(t *testing.T) {
	t.Parallel()
	const rotations, calls, callers = 40, 4000, 3
	r := &turning{vault: newVault(t)}
	r.deploy("g", "export const auth = '*';\nlet ran = 0;\nexport function webhook() { ran++; return { ran }; }\n")
	admin, adminSecret := r.mint(nil)
	r.settle()
	r.admin = "Bearer " + r.token(admin, nil)
	r.k = platform.AccessKey{ID: accesskey.NewID(time.Now()), ProjectID: admin.ProjectID}
	turn := func() {
		s := accesskey.NewSecret()
		begun := time.Now()
		r.apply(fmt.Sprintf(keyOf, r.k.ID, s.Hash()))
		r.note(begun, time.Now(), time.Time{}, s.Reveal())
	}
	turn()
	before, _ := r.ran()

	var made atomic.Int64
	var done atomic.Bool
	defer done.Store(true)
	shots := make([][]authtest.Shot, callers)
	var load sync.WaitGroup
	for i := range shots {
		load.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for made.Add(1) <= calls || !done.Load() {
				s, ok := r.shoot(client)
				if !ok {
					t.Error("no answer")
					return
				}
				shots[i] = append(shots[i], s)
			}
		})
	}
	load.Go(func() { // beside them, at the door of another group
		for !done.Load() {
			r.mu.Lock()
			secret := r.secrets[len(r.secrets)-1]
			r.mu.Unlock()
			if got := r.status(r.gateway, "GET /fn/g/webhook HTTP/1.1\r\nHost: h\r\nX-API-Key: "+secret+"\r\n\r\n"); got != 403 && got != 401 {
				t.Errorf("a partner at the admins' door: %d", got)
				return
			}
		}
	})
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for n := 0; n < rotations; {
		if <-tick.C; made.Load() >= int64((n+1)*calls/(rotations+5)) {
			n++
			turn()
		}
	}
	done.Store(true)
	load.Wait()
	var all []authtest.Shot
	admitted := 0
	for _, list := range shots {
		for _, s := range list {
			if all = append(all, s); s.Admitted {
				admitted++
			}
		}
	}
	got := authtest.Judge(r.lives, all)
	t.Logf("%d rotations, %d requests: %s", rotations, len(all), got)
	if got.Faulty() || got.Good < calls/20 || got.Dead < calls/20 {
		t.Error("a promise was broken, or that proves too little:", got)
	}
	if n, _ := r.ran(); n-before != admitted {
		t.Errorf("the handler ran %d times for %d requests that were let in", n-before, admitted)
	}
	newest := r.secrets[len(r.secrets)-1]
	for _, tc := range []struct {
		door, secret string
		want         int
	}{{"f", newest, 200}, {"g", newest, 403}, {"f", r.secrets[0], 401}, {"g", r.secrets[0], 401}, {"g", adminSecret, 200}} {
		if got := r.status(r.gateway, "GET /fn/"+tc.door+"/webhook HTTP/1.1\r\nHost: h\r\nX-API-Key: "+tc.secret+"\r\n\r\n"); got != tc.want {
			t.Errorf("%s: %d, want %d", tc.door, got, tc.want)
		}
	}
	// A handler that refused all of them never ran: the admin's call is its first.
	if _, body := r.send(r.gateway, "GET /fn/g/webhook HTTP/1.1\r\nHost: h\r\nX-API-Key: "+adminSecret+"\r\n\r\n", nil); !strings.Contains(body, `"ran":2`) {
		t.Errorf("the admins' handler says %s", body)
	}
}
