package api_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/fault"
)

// uploadDesk is a server that takes an upload, and fails as it is told to.
type uploadDesk struct {
	mu    sync.Mutex
	have  []byte // guarded by mu
	whole []byte
	asked int
	fails []func(w http.ResponseWriter, piece []byte) (stop bool) // one for each piece
}

func problemOf(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	io.WriteString(w, `{"code":"`+code+`","detail":"d"}`)
}

func (d *uploadDesk) serve(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r.Method == "PATCH" {
		piece, _ := io.ReadAll(r.Body)
		if len(d.fails) > 0 {
			fail := d.fails[0]
			if d.fails = d.fails[1:]; fail != nil && fail(w, piece) {
				return
			}
		}
		if at, _ := strconv.Atoi(r.URL.Query().Get("offset")); at != len(d.have) {
			problemOf(w, 409, "upload_moved")
			return
		}
		d.have = append(d.have, piece...)
	} else {
		d.asked++
	}
	json.NewEncoder(w).Encode(api.Upload{Offset: int64(len(d.have)), Complete: bytes.Equal(d.have, d.whole)})
}

// An upload goes on after a connection that broke, a server that was away, and
// another who uploaded a part of the same; what is no passing trouble ends it.
func TestClient_Upload(t *testing.T) {
	t.Parallel()
	data := bytes.Repeat([]byte("0123456789abcdef"), 3<<16|5) // three pieces and a bit
	for _, tc := range []struct {
		name  string
		have  int
		fails func(d *uploadDesk) []func(http.ResponseWriter, []byte) bool
		asked int
		kind  fault.Kind
		ok    bool
	}{
		{name: "at once", asked: 1, ok: true},
		{name: "from the middle", have: 1<<20 + 7, asked: 1, ok: true},
		{name: "there already", have: len(data), asked: 1, ok: true},
		{name: "the connection breaks", asked: 2, ok: true, fails: func(*uploadDesk) []func(http.ResponseWriter, []byte) bool {
			return []func(http.ResponseWriter, []byte) bool{nil, func(http.ResponseWriter, []byte) bool { panic(http.ErrAbortHandler) }}
		}},
		{name: "it breaks within a piece", asked: 2, ok: true, fails: func(d *uploadDesk) []func(http.ResponseWriter, []byte) bool {
			return []func(http.ResponseWriter, []byte) bool{func(_ http.ResponseWriter, piece []byte) bool {
				d.have = append(d.have, piece[:len(piece)/3]...)
				panic(http.ErrAbortHandler)
			}}
		}},
		{name: "the server restarts", asked: 3, ok: true, fails: func(*uploadDesk) []func(http.ResponseWriter, []byte) bool {
			away := func(w http.ResponseWriter, _ []byte) bool { problemOf(w, 503, "shutting_down"); return true }
			return []func(http.ResponseWriter, []byte) bool{nil, away, away}
		}},
		{name: "another is faster", asked: 2, ok: true, fails: func(d *uploadDesk) []func(http.ResponseWriter, []byte) bool {
			return []func(http.ResponseWriter, []byte) bool{nil, func(http.ResponseWriter, []byte) bool {
				d.have = append(d.have, data[len(d.have):][:9]...)
				return false
			}}
		}},
		{name: "what was there was damaged", asked: 2, ok: true, fails: func(d *uploadDesk) []func(http.ResponseWriter, []byte) bool {
			return []func(http.ResponseWriter, []byte) bool{nil, func(w http.ResponseWriter, _ []byte) bool {
				d.have = nil
				problemOf(w, 400, "artefact_invalid")
				return true
			}}
		}},
		{name: "damaged for ever", asked: 2, kind: fault.Invalid, fails: func(d *uploadDesk) []func(http.ResponseWriter, []byte) bool {
			bad := func(w http.ResponseWriter, _ []byte) bool {
				d.have = nil
				problemOf(w, 400, "artefact_invalid")
				return true
			}
			return []func(http.ResponseWriter, []byte) bool{bad, bad}
		}},
		{name: "not allowed", asked: 1, kind: fault.Denied, fails: func(d *uploadDesk) []func(http.ResponseWriter, []byte) bool {
			return []func(http.ResponseWriter, []byte) bool{func(w http.ResponseWriter, _ []byte) bool { problemOf(w, 403, "not_allowed"); return true }}
		}},
		{name: "too large", asked: 1, kind: fault.Invalid, fails: func(d *uploadDesk) []func(http.ResponseWriter, []byte) bool {
			return []func(http.ResponseWriter, []byte) bool{func(w http.ResponseWriter, _ []byte) bool { problemOf(w, 413, "body_too_large"); return true }}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			d := &uploadDesk{whole: data, have: append([]byte{}, data[:tc.have]...)}
			if tc.fails != nil {
				d.fails = tc.fails(d)
			}
			s := httptest.NewServer(giving(d.serve))
			var last int64
			err := clientOf(s.URL).Upload(t.Context(), "ab", data, func(at int64) { last = at })
			s.Close() // and with it whoever still counts
			if (err == nil) != tc.ok || fault.KindOf(err) != tc.kind && !tc.ok || d.asked != tc.asked {
				t.Fatalf("%v; asked %d times", err, d.asked)
			}
			if tc.ok && (!bytes.Equal(d.have, data) || last != int64(len(data))) {
				t.Errorf("%d bytes came, %d were told of", len(d.have), last)
			}
		})
	}
}

// A deploy with a name is asked for again when its answer was lost, and never
// when the server has said what is wrong; one without is asked for once.
func TestClient_DeployAgain(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, attempt string
		fail          func(w http.ResponseWriter)
		asked         int
		ok            bool
	}{
		{"the answer is cut off", "a", func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, 2, true},
		{"without a name", "", func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, 1, false},
		{"the server stops", "a", func(w http.ResponseWriter) { problemOf(w, 503, "shutting_down") }, 2, true},
		{"it does not start", "a", func(w http.ResponseWriter) { problemOf(w, 422, "module_failed") }, 1, false},
		{"there is no Node", "a", func(w http.ResponseWriter) { problemOf(w, 503, "node_missing") }, 1, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int32
			s := httptest.NewServer(giving(func(w http.ResponseWriter, r *http.Request) {
				if asked.Add(1) == 1 {
					tc.fail(w)
					return
				}
				io.WriteString(w, `{"reused":true}`)
			}))
			defer s.Close()
			out, err := clientOf(s.URL).Deploy(t.Context(), "f", api.DeployRequest{Artefact: "ab", Attempt: tc.attempt})
			if (err == nil) != tc.ok || out.Reused != tc.ok || int(asked.Load()) != tc.asked {
				t.Errorf("%+v, %v; asked %d times", out, err, asked.Load())
			}
		})
	}
}
