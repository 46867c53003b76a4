package gateway_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/auth/authtest"
	"postern.dev/postern/internal/gateway"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/token"
)

const (
	issuer = "http://control"
	door   = "http://gateway"
)

// signedSource is a source with a signing key.
type signedSource struct {
	*source
	key  token.SigningKey
	rows []platform.SigningKey
}

func (s *signedSource) SigningKeys(context.Context, time.Time) ([]platform.SigningKey, error) {
	return s.rows, nil
}

func newSignedSource(t testing.TB, src *source) *signedSource {
	t.Helper()
	k, err := token.NewSigningKey(token.EdDSA, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(k.Public().Key)
	if err != nil {
		t.Fatal(err)
	}
	return &signedSource{src, k, []platform.SigningKey{{KID: k.KID(), Algorithm: "EdDSA", Public: public}}}
}

// newTokenWorld is a world whose gateway takes tokens, loaded and following.
func newTokenWorld(t testing.TB) (*world, *signedSource) {
	return newTokenWorldWith(t, func(i *invoker) gateway.Invoker { return i })
}

func newTokenWorldWith(t testing.TB, wrap func(*invoker) gateway.Invoker) (*world, *signedSource) {
	t.Helper()
	w := newWorld(t)
	src := newSignedSource(t, w.src)
	w.g = gateway.New(gateway.Options{Auth: auth.NewAuthenticator(issuer), URL: door, Issuer: issuer}, wrap(w.invoker))
	if err := w.g.Load(t.Context(), src); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); w.g.Follow(ctx, src, w.src.bell) }()
	t.Cleanup(func() { cancel(); <-done })
	return w, src
}

func (s *signedSource) token(t testing.TB, keyID string, generation int, jkt string) string {
	t.Helper()
	at := time.Now()
	raw, err := token.Sign(s.key, token.Claims{Issuer: issuer, Subject: keyID, ClientID: keyID, ProjectID: project, Generation: generation, ID: fmt.Sprint(keyID, generation),
		Audience: []string{door}, Scope: "invoke", IssuedAt: at, ExpiresAt: at.Add(time.Hour), JKT: jkt})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// rotation rotates one key, and knows what must follow from that.
type rotation struct {
	t     testing.TB
	w     *world
	src   *signedSource
	id    string
	grace time.Duration

	mu    sync.Mutex
	lives []authtest.Life // guarded by mu
	shown [][]http.Header // guarded by mu; of each secret, by Basic, X-API-Key and bearer
}

func newRotation(t testing.TB, grace time.Duration) *rotation {
	w, src := newTokenWorld(t)
	r := &rotation{t: t, w: w, src: src, grace: grace, id: accesskey.NewID(time.Now())}
	r.rotate()
	return r
}

// rotate gives the key another secret; the first time it makes the key. It
// returns when that is acknowledged.
func (r *rotation) rotate() {
	r.t.Helper()
	s := accesskey.NewSecret()
	begun := time.Now()
	until := time.Time{}
	n := 0
	seq := r.w.src.change(platform.ChangeKey, r.id, func() {
		k, there := r.w.src.keys[r.id]
		if !there {
			k = platform.AccessKey{ID: r.id, ProjectID: project, Scopes: []platform.Scope{platform.ScopeInvoke}}
		} else if r.grace > 0 {
			until = begun.Add(r.grace)
			k.PreviousHash, k.PreviousUntil = k.SecretHash, until
		}
		k.SecretHash, k.Generation = s.Hash(), k.Generation+1
		n = k.Generation
		r.w.src.keys[r.id] = k
	})
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	if err := r.w.g.WaitApplied(ctx, seq); err != nil {
		r.t.Fatal(err)
	}
	acknowledged := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lives = authtest.Rotated(r.lives, begun, acknowledged, until)
	r.shown = append(r.shown, []http.Header{{"Authorization": {basic(r.id, s.Reveal())}}, {"X-Api-Key": {s.Reveal()}}, {"Authorization": {"Bearer " + r.src.token(r.t, r.id, n, "")}}})
}

// shoot makes one request with some secret: the newest most often, but also
// those before it, long dead ones too.
func (r *rotation) shoot() authtest.Shot {
	r.mu.Lock()
	n := len(r.lives)
	s := authtest.Shot{Life: n - 1}
	switch rand.IntN(10) {
	case 0, 1, 2:
		s.Life = max(n-2, 0)
	case 3, 4:
		s.Life = rand.IntN(n)
	}
	header := r.shown[s.Life][rand.IntN(3)].Clone()
	r.mu.Unlock()
	s.Before = time.Now()
	res, p := r.w.do("GET", "/fn/orders/webhook", header)
	s.Then = time.Now()
	s.Admitted = p.Code == "queue_full"
	if !s.Admitted && res.StatusCode != 401 {
		r.t.Errorf("%d %s", res.StatusCode, p.Code)
	}
	return s
}

// A key is rotated 100 times while 10,000 calls show all that it ever had, by
// Basic, by X-API-Key and by token: no good one is refused, and no dead one
// accepted, from the moment at which the change was acknowledged.
func TestRotation_UnderLoad(t *testing.T) {
	t.Parallel()
	const rotations, calls, callers = 100, 10_000, 4
	for name, grace := range map[string]time.Duration{"with grace": 8 * time.Millisecond, "without": 0, "with a grace of two rotations": 40 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRotation(t, grace)
			var made atomic.Int64
			var rotated atomic.Bool
			defer rotated.Store(true)
			shots := make([][]authtest.Shot, callers)
			var load sync.WaitGroup
			for i := range shots {
				load.Go(func() {
					for made.Add(1) <= calls || !rotated.Load() {
						shots[i] = append(shots[i], r.shoot())
					}
				})
			}
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			for done := 0; done < rotations; {
				<-tick.C // as the calls go on, so do the rotations
				if made.Load() >= int64((done+1)*calls/(rotations+5)) {
					r.rotate()
					done++
				}
			}
			rotated.Store(true)
			load.Wait()
			all := slices.Concat(shots...)
			got := authtest.Judge(r.lives, all)
			t.Logf("%d rotations, %d calls: %s", len(r.lives)-1, len(all), got)
			if got.Faulty() || len(all) < calls || got.Good < calls/10 || got.Dead < calls/20 {
				t.Error("a promise was broken, or that proves too little:", got)
			}
		})
	}
}

// With the database away the deadline of a grace still comes: it is in memory.
func TestRotation_DatabaseAway(t *testing.T) {
	t.Parallel()
	r := newRotation(t, 300*time.Millisecond)
	r.rotate()
	r.w.src.mu.Lock()
	r.w.src.away = errors.New("database away")
	r.w.src.mu.Unlock()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); r.w.g.State().StaleSince.IsZero(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatal("State does not tell that the source is away")
		}
	}
	var shots []authtest.Shot
	for over := r.lives[0].Dead.Add(100 * time.Millisecond); time.Now().Before(over); {
		shots = append(shots, r.shoot())
	}
	for range 200 {
		shots = append(shots, r.shoot())
	}
	if got := authtest.Judge(r.lives, shots); got.Faulty() || got.Good < 20 || got.Dead < 20 {
		t.Error("a promise was broken, or that proves too little:", got)
	}
}
