package gateway_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"postern.dev/postern/internal/bundle"
	"postern.dev/postern/internal/gateway"
	"postern.dev/postern/internal/supervisor"
	"postern.dev/postern/internal/worker"
)

// launcher starts a worker of one function, whatever the deployment.
type launcher struct{ spec worker.Spec }

func (l launcher) Launch(_ context.Context, id string) (supervisor.Launch, error) {
	return supervisor.Launch{DeploymentID: id, FunctionID: fnID, Spec: l.spec}, nil
}

// working gives w real workers, of a function whose handlers answer at once.
func working(tb testing.TB) *supervisor.Supervisor {
	tb.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		tb.Fatal("Node is needed; run `make test` as root: ", err)
	}
	dir := tb.TempDir()
	for name, text := range map[string]string{"postern.json": `{"name":"orders","runtime":"node"}`, "function.ts": "export const webhook = () => 'in';\nexport const status = webhook;\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	built, err := bundle.Build(tb.Context(), dir)
	if err != nil {
		tb.Fatal(err)
	}
	archive, err := bundle.Open(built.Archive)
	if err != nil {
		tb.Fatal(err)
	}
	if err := archive.Extract(filepath.Join(dir, "out")); err != nil {
		tb.Fatal(err)
	}
	s := supervisor.New(supervisor.Options{Workers: 1}, launcher{worker.Spec{Argv: []string{node, bundle.Entry}, Dir: filepath.Join(dir, "out"), Env: []string{"PATH=" + filepath.Dir(node)}}})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { s.Run(ctx); close(done) }()
	tb.Cleanup(func() { cancel(); <-done })
	return s
}

// BenchmarkServe is a whole call of a guarded handler on a real worker, with
// and without usage counted.
func BenchmarkServe(b *testing.B) {
	for _, with := range []bool{false, true} {
		b.Run(fmt.Sprint("usage=", with), func(b *testing.B) {
			w := newWorld(b)
			_, secret := w.key(nil)
			o := gateway.Options{}
			if with {
				o.Usage, _ = newMeter(b)
			}
			w.g = gateway.New(o, working(b))
			w.load(b)
			r := httptest.NewRequest("GET", "/fn/orders/webhook", nil)
			r.Header = http.Header{"X-Api-Key": {secret}}
			rec := httptest.NewRecorder()
			if w.g.ServeHTTP(rec, r); rec.Code != 200 {
				b.Fatal(rec.Code, rec.Body)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for b.Loop() {
				w.g.ServeHTTP(&discard{header: http.Header{}}, r)
			}
		})
	}
}
