package main_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postern.dev/postern/internal/auth/authtest"
	"postern.dev/postern/internal/platform"
)

// turning is a key of a real server that is rotated while it is used.
type turning struct {
	*vault
	k     platform.AccessKey
	admin string

	mu      sync.Mutex
	lives   []authtest.Life // guarded by mu
	secrets []string        // guarded by mu
	shown   [][]http.Header // guarded by mu; by Basic, X-API-Key and bearer
}

func (r *turning) note(begun, acknowledged, until time.Time, secret string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lives = authtest.Rotated(r.lives, begun, acknowledged, until)
	r.secrets = append(r.secrets, secret)
	r.shown = append(r.shown, r.headers(len(r.secrets), secret))
}

func (r *turning) headers(generation int, secret string) []http.Header {
	return []http.Header{{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(r.k.ID+":"+secret))}}, {"X-Api-Key": {secret}},
		{"Authorization": {"Bearer " + r.token(r.k, map[string]any{"gen": generation})}}}
}

// rotate rotates the key through the API, as anybody would.
func (r *turning) rotate(grace int) {
	r.Helper()
	begun := time.Now()
	req, err := http.NewRequestWithContext(r.Context(), "POST", r.control+"/v1/projects/"+r.k.ProjectID+"/accessKeys/"+r.k.ID+"/rotate", strings.NewReader(fmt.Sprintf(`{"gracePeriod":%d}`, grace)))
	if err != nil {
		r.Fatal(err)
	}
	req.Header = http.Header{"Authorization": {r.admin}, "Content-Type": {"application/json"}}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		r.Fatal(err)
	}
	defer res.Body.Close()
	var got struct {
		AccessKey struct{ PreviousSecretExpireTime time.Time }
		Secret    string
	}
	if err := json.NewDecoder(res.Body).Decode(&got); err != nil || got.Secret == "" || (grace > 0) == got.AccessKey.PreviousSecretExpireTime.IsZero() {
		r.Fatalf("%s %+v, %v", res.Status, got.AccessKey, err)
	}
	r.note(begun, time.Now(), got.AccessKey.PreviousSecretExpireTime, got.Secret)
}

// shoot calls a guarded handler with some secret: the newest most often, but
// also those before it, long dead ones too.
func (r *turning) shoot(client *http.Client) (s authtest.Shot, ok bool) {
	r.mu.Lock()
	s.Life = len(r.lives) - 1
	switch rand.IntN(10) {
	case 0, 1, 2:
		s.Life = max(s.Life-1, 0)
	case 3:
		s.Life = rand.IntN(len(r.lives))
	}
	header := r.shown[s.Life][rand.IntN(3)].Clone()
	r.mu.Unlock()
	req, err := http.NewRequestWithContext(r.Context(), "GET", r.gateway+"/fn/f/webhook", nil)
	if err != nil {
		r.Fatal(err)
	}
	req.Header = header
	s.Before = time.Now()
	res, err := client.Do(req)
	if err != nil {
		return s, false
	}
	io.Copy(io.Discard, res.Body)
	res.Body.Close()
	s.Then = time.Now()
	if s.Admitted = res.StatusCode == 200; !s.Admitted && res.StatusCode != 401 {
		r.Errorf("status %d", res.StatusCode)
	}
	return s, true
}

// A key of a real server is rotated 100 times through the API, with a grace
// and without, during 10,000 requests that show all secrets that it ever had.
// Then the server is killed right after a rotation. What was acknowledged
// holds, before and after.
func TestRotation_UnderLoadAndKill(t *testing.T) {
	t.Parallel()
	const rotations, calls, callers = 100, 10_000, 4
	r := &turning{vault: newVault(t)}
	var secret string
	r.k, secret = r.mint(nil)
	admin, _ := r.mint(nil)
	r.settle()
	r.admin = "Bearer " + r.token(admin, nil)
	r.note(time.Now(), time.Now(), time.Time{}, secret)
	before, _ := r.ran()

	var made atomic.Int64
	var rotated atomic.Bool
	defer rotated.Store(true)
	shots := make([][]authtest.Shot, callers)
	var load sync.WaitGroup
	for i := range shots {
		load.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for made.Add(1) <= calls || !rotated.Load() {
				s, ok := r.shoot(client)
				if !ok {
					t.Error("no answer")
					return
				}
				shots[i] = append(shots[i], s)
			}
		})
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for done := 0; done < rotations; {
		if <-tick.C; made.Load() >= int64((done+1)*calls/(rotations+5)) {
			done++
			r.rotate(done % 2)
		}
	}
	rotated.Store(true)
	load.Wait()
	all := slices.Concat(shots...)
	admitted := 0
	for _, s := range all {
		if s.Admitted {
			admitted++
		}
	}
	got := authtest.Judge(r.lives, all)
	t.Logf("%d rotations, %d requests: %s", rotations, len(all), got)
	if got.Faulty() || len(all) < calls || got.Good < calls/20 || got.Dead < calls/20 {
		t.Error("a promise was broken, or that proves too little:", got)
	}
	if n, _ := r.ran(); n-before != admitted {
		t.Errorf("the handler ran %d times for %d requests that were let in", n-before, admitted)
	}

	r.rotate(0)
	r.rotate(3)
	r.kill()
	r.start()
	for i, s := range r.secrets { // the issuer has another port now
		r.shown[i] = r.headers(i+1, s)
	}
	var after []authtest.Shot
	for over := r.lives[len(r.lives)-2].Dead.Add(100 * time.Millisecond); time.Now().Before(over) || len(after) < 300; {
		s, ok := r.shoot(http.DefaultClient)
		if !ok {
			t.Fatal("no answer after the restart")
		}
		after = append(after, s)
	}
	got = authtest.Judge(r.lives, after)
	t.Logf("after the kill: %s", got)
	if got.Faulty() || got.Good < 50 || got.Dead < 20 {
		t.Error("a promise was broken, or that proves too little:", got)
	}
}
