package gateway_test

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/internal/platform"
)

// voiced is a world whose function takes events of calls and has a root of its own.
func voiced(t *testing.T, voice, root platform.Guard, more ...platform.Handler) *world {
	t.Helper()
	w := newWorld(t)
	d := w.src.active[fnID]
	d.Variables = map[string]string{"VOICE_SERVICE_ID": "svc", "VOICE_SERVICE_SECRET": base64.StdEncoding.EncodeToString([]byte("sixteen letters!"))}
	d.Handlers = append([]platform.Handler{{Name: "voiceWebhook", Kind: platform.HandlerService, Guard: voice}, {Name: "home", Kind: platform.HandlerRoot, Guard: root}}, more...)
	w.src.active[fnID] = d
	w.load(t)
	return w
}

// toRoot posts a body to the root of the function.
func toRoot(body, kind string) *http.Request {
	r := httptest.NewRequest("POST", "/", strings.NewReader(body))
	r.RequestURI, r.Host = "/", slug+".localhost"
	r.Header.Set("Content-Type", kind)
	return r
}

// sign signs a request to the root as the second voice API does.
func sign(r *http.Request, body, key string) *http.Request {
	digest, stamp := md5.Sum([]byte(body)), time.Now().UTC().Format(time.RFC3339Nano)
	m := hmac.New(sha256.New, []byte(key))
	io.WriteString(m, "POST\n"+base64.StdEncoding.EncodeToString(digest[:])+"\n"+r.Header.Get("Content-Type")+"\nx-timestamp:"+stamp+"\n"+r.RequestURI)
	r.Header.Set("X-Timestamp", stamp)
	r.Header.Set("Authorization", "service svc:"+base64.StdEncoding.EncodeToString(m.Sum(nil)))
	return r
}

// The body decides which of two handlers is asked, and with it which guard must
// be satisfied: never the one of the other.
func TestEvent_WhoseGuardHolds(t *testing.T) {
	t.Parallel()
	const event, other, key = `{"event":"call.incoming","call":{}}`, `{"event":"order.made"}`, "sixteen letters!"
	for _, tc := range []struct {
		name        string
		voice, root platform.Guard
		body        string
		show        string // "": nothing, "key", "signature", "foreign signature"
		want        string // a code; "queue_full": it would have run
	}{
		{"an event, nothing shown, beside an open root", platform.GuardSignature, platform.GuardOpen, event, "", "signature_required"},
		{"an event with a key, beside a root for keys", platform.GuardSignature, platform.GuardKey, event, "key", "signature_required"},
		{"an event with another secret's signature", platform.GuardSignature, platform.GuardOpen, event, "foreign signature", "signature_required"},
		{"an event that is signed", platform.GuardSignature, platform.GuardKey, event, "signature", "queue_full"},
		{"an event that is signed, for a handler that asks for a key", platform.GuardKey, platform.GuardOpen, event, "signature", "unauthenticated"},
		{"an event with a key, for a handler that asks for one", platform.GuardKey, platform.GuardOpen, event, "key", "queue_full"},
		{"something else, nothing shown, at an open root", platform.GuardSignature, platform.GuardOpen, other, "", "queue_full"},
		{"something else, nothing shown, at a root for keys beside an open voice", platform.GuardOpen, platform.GuardKey, other, "", "unauthenticated"},
		{"something else that is signed, at a root for keys", platform.GuardSignature, platform.GuardKey, other, "signature", "unauthenticated"},
		{"an event, nothing shown, for an open voice beside a root for keys", platform.GuardOpen, platform.GuardKey, event, "", "queue_full"},
		{"both guards that nobody knows", platform.Guard(77), platform.Guard(78), event, "key", "signature_required"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := voiced(t, tc.voice, tc.root)
			r := toRoot(tc.body, "application/json")
			switch tc.show {
			case "key":
				id, secret := w.key(nil)
				w.load(t)
				r.Header.Set("Authorization", basic(id, secret))
			case "signature":
				sign(r, tc.body, key)
			case "foreign signature":
				sign(r, tc.body, "another 16 bytes")
			}
			_, p := w.send(r)
			if ran := w.invoker.acquired.Load(); p.Code != tc.want || (ran == 1) != (tc.want == "queue_full") {
				t.Errorf("%s, ran %d times, want %s", p.Code, ran, tc.want)
			}
		})
	}
}

// What is an event of a call, and what is not: then the root is asked, which is
// open here, while events are signed.
func TestEvent_WhatIsOne(t *testing.T) {
	t.Parallel()
	const event = `{"event":"call.incoming"}`
	for _, tc := range []struct {
		name, kind, body string
		change           func(*http.Request)
		is               bool
	}{
		{"JSON", "application/json", event, nil, true},
		{"with a charset", "Application/JSON; charset=utf-8", event, nil, true},
		{"a cloud event", "application/cloudevents+json", event, nil, true},
		{"with the member last", "application/json", `{"a":{"event":"x"},"event":"call.hangup"}`, nil, true},
		{"without a length", "application/json", event, func(r *http.Request) { r.ContentLength = -1 }, true},
		{"the last of two members counts, as in the handler", "application/json", `{"event":"x","event":"call.incoming"}`, nil, true},
		{"and only that", "application/json", `{"event":"call.incoming","event":"x"}`, nil, false},
		{"a member of another case", "application/json", `{"Event":"call.incoming"}`, nil, false},
		{"an event of another case", "application/json", `{"event":"Call.incoming"}`, nil, false},
		{"an event of no kind", "application/json", `{"event":"call"}`, nil, false},
		{"an event that is no text", "application/json", `{"event":["call.incoming"]}`, nil, false},
		{"an event inside", "application/json", `{"a":{"event":"call.incoming"}}`, nil, false},
		{"a list", "application/json", `[{"event":"call.incoming"}]`, nil, false},
		{"two of JSON", "application/json", event + event, nil, false},
		{"cut off", "application/json", event[:20], nil, false},
		{"nothing", "application/json", "", nil, false},
		{"text", "text/plain", event, nil, false},
		{"a form", "application/x-www-form-urlencoded", "event=call.incoming", nil, false},
		{"no type", "", event, nil, false},
		{"two types", "application/json", event, func(r *http.Request) { r.Header.Add("Content-Type", "text/plain") }, false},
		{"compressed", "application/json", event, func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }, false},
		{"too large", "application/json", `{"event":"call.incoming","a":"` + strings.Repeat("x", 64<<10) + `"}`, nil, false},
		{"too large, without a length", "application/json", `{"event":"call.incoming","a":"` + strings.Repeat("x", 64<<10) + `"}`, func(r *http.Request) { r.ContentLength = -1 }, false},
		{"a million deep", "application/json", `{"event":"call.incoming","a":` + strings.Repeat("[", 60_000), nil, false},
		{"another method", "application/json", event, func(r *http.Request) { r.Method = "PUT" }, false},
		{"another path", "application/json", event, func(r *http.Request) { r.RequestURI = "/status" }, false},
		{"a body that breaks off", "application/json", event, func(r *http.Request) { r.Body = io.NopCloser(io.MultiReader(strings.NewReader(event), broken{})) }, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := voiced(t, platform.GuardSignature, platform.GuardOpen, platform.Handler{Name: "status", Guard: platform.GuardOpen})
			r := toRoot(tc.body, tc.kind)
			if tc.change != nil {
				tc.change(r)
			}
			if _, p := w.send(r); (p.Code == "signature_required") != tc.is {
				t.Errorf("answered with %s", p.Code)
			}
		})
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("the caller went away") }

// A route that knows POST / is asked for everything, and without a voiceWebhook
// nobody looks into a body.
func TestEvent_RoutesGoFirst(t *testing.T) {
	t.Parallel()
	const event = `{"event":"call.incoming"}`
	route := platform.Handler{Name: "orders", Routes: []platform.Route{{Pattern: "POST /{$}", Guard: platform.GuardOpen}}}
	all := platform.Handler{Name: "orders", Routes: []platform.Route{{Pattern: "/{path...}", Guard: platform.GuardOpen}}}
	get := platform.Handler{Name: "orders", Routes: []platform.Route{{Pattern: "GET /{$}", Guard: platform.GuardOpen}}}
	for _, tc := range []struct {
		name  string
		route platform.Handler
		want  string
	}{{"a route of the root", route, "queue_full"}, {"a route of every path", all, "queue_full"}, {"a route of another method", get, "method_not_allowed"}} {
		w := voiced(t, platform.GuardSignature, platform.GuardOpen, tc.route)
		if _, p := w.send(toRoot(event, "application/json")); p.Code != tc.want {
			t.Errorf("%s: %s", tc.name, p.Code)
		}
	}
	w := newWorld(t)
	d := w.src.active[fnID]
	d.Handlers = []platform.Handler{{Name: "home", Kind: platform.HandlerRoot, Guard: platform.GuardKey}}
	w.src.active[fnID] = d
	w.load(t)
	r := toRoot("", "application/json")
	read := new(looked)
	r.Body, r.ContentLength = read, 10
	if _, p := w.send(r); p.Code != "unauthenticated" || *read {
		t.Errorf("without a voiceWebhook: %s, the body was read: %t", p.Code, *read)
	}
}

type looked bool

func (l *looked) Read([]byte) (int, error) { *l = true; return 0, io.EOF }
func (l *looked) Close() error             { return nil }
