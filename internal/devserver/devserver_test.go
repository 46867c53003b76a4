package devserver_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/internal/devserver"
	"postern.dev/postern/internal/environ"
	"postern.dev/postern/internal/function"
)

// world is a project that is worked on.
type world struct {
	t   *testing.T
	dir string
	d   *devserver.Server
	url string
}

const manifest = `{"name":"f","runtime":"node"}`

// newWorld writes files and works on them.
func newWorld(t *testing.T, files map[string]string, change func(*devserver.Options)) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir()}
	if files["postern.json"] == "" && files["sinch.json"] == "" {
		w.save("postern.json", manifest)
	}
	for name, text := range files {
		w.save(name, text)
	}
	o := devserver.Options{Dir: w.dir, Listener: listen(t), Search: os.Getenv("PATH"), Settings: w.resolve}
	if change != nil {
		change(&o)
	}
	var err error
	if w.d, err = devserver.New(o); err != nil {
		t.Fatal(err)
	}
	w.url = "http://" + o.Listener.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.d.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-w.d.Ready():
	case <-time.After(60 * time.Second):
		t.Fatal("it is never ready")
	}
	return w
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

func (w *world) resolve(ctx context.Context, dir string, m function.Manifest, fresh bool) (devserver.Settings, error) {
	dotenv, err := environ.ReadDotenv(dir)
	if err != nil {
		return devserver.Settings{}, err
	}
	r, err := environ.Resolve(ctx, environ.Input{Manifest: m, Dotenv: dotenv})
	return devserver.Settings{Resolved: r, ProjectID: "prj_test"}, err
}

// withPair is a Resolve that knows a pair as well.
func withPair(ask devserver.Resolve, p *devserver.Pair) devserver.Resolve {
	return func(ctx context.Context, dir string, m function.Manifest, fresh bool) (devserver.Settings, error) {
		s, err := ask(ctx, dir, m, fresh)
		s.Pair = p
		return s, err
	}
}

// save writes a file in place.
func (w *world) save(name, text string) {
	w.t.Helper()
	path := filepath.Join(w.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

type answer struct {
	*http.Response
	body string
}

// code is that of a problem; empty: the answer is none.
func (a answer) code() string {
	var p struct{ Code string }
	json.Unmarshal([]byte(a.body), &p)
	return p.Code
}

func (w *world) get(path string, change ...func(*http.Request)) answer {
	w.t.Helper()
	r, err := http.NewRequest(http.MethodGet, w.url+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, c := range change {
		c(r)
	}
	return w.do(r)
}

func (w *world) do(r *http.Request) answer {
	w.t.Helper()
	client := http.Client{Timeout: 60 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return answer{res, string(body)}
}

// events are all so far.
func (w *world) events() []devserver.Event {
	all, _ := w.d.Feed().After(0)
	return all
}

// builds are those that were told of.
func (w *world) builds() (out []*devserver.Build) {
	for _, e := range w.events() {
		if e.Build != nil {
			out = append(out, e.Build)
		}
	}
	return out
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

func open(body string) string {
	return "export const auth = [];\nexport const a = () => " + body + ";\n"
}

// However a file is saved, the first request after it gets the new code.
func TestSave_TheNextRequestHasIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]string{"function.ts": open(`"0"`), "lib/x.ts": "export const x = 0;\n"}, nil)
	path := filepath.Join(w.dir, "function.ts")
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	for name, save := range map[string]func(text string){
		"in place": func(text string) { write("function.ts", text) },
		"by rename": func(text string) {
			write(".function.ts.tmp123", text)
			if err := os.Rename(filepath.Join(w.dir, ".function.ts.tmp123"), path); err != nil {
				t.Fatal(err)
			}
		},
		"by rename over a copy that stays": func(text string) {
			if err := os.Rename(path, path+"~"); err != nil {
				t.Fatal(err)
			}
			write("function.ts", text)
		},
		"by removing it first": func(text string) {
			os.Remove(path)
			write("function.ts", text)
		},
		"in two writes": func(text string) {
			f, err := os.Create(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			for _, part := range []string{text[:len(text)/2], text[len(text)/2:]} {
				if _, err := f.WriteString(part); err != nil {
					t.Fatal(err)
				}
			}
		},
		"as another module": func(text string) {
			_, value, _ := strings.Cut(text, "=> ")
			write("lib/x.ts", "export const x = "+value)
			write("function.ts", "import { x } from './lib/x.ts'; export const auth = []; export const a = () => String(x);")
		},
	} {
		for range 3 {
			n++
			want := fmt.Sprint("n", n)
			save(open(`"` + want + `"`))
			if got := w.get("/a"); got.body != want {
				t.Errorf("%s: %d %q, want %q", name, got.StatusCode, got.body, want)
			}
		}
	}
}
