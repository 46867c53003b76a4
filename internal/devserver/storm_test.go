package devserver_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"postern.dev/postern/internal/devserver"
)

// Many files that change at once, with directories that go and come as a checkout
// makes them, are one state in the end: the one that answers.
func TestSave_Storms(t *testing.T) {
	t.Parallel()
	w := newWorld(t, map[string]string{"function.ts": open(`"0"`)}, nil)
	for round := 1; round <= 3; round++ {
		if err := os.RemoveAll(filepath.Join(w.dir, "lib")); err != nil {
			t.Fatal(err)
		}
		var imports, names []string
		for i := range 60 {
			w.save(fmt.Sprintf("lib/d%d/m.ts", i), fmt.Sprintf("export const v = %d;\n", round))
			imports = append(imports, fmt.Sprintf("import { v as v%d } from './lib/d%d/m.ts';", i, i))
			names = append(names, fmt.Sprint("v", i))
			if i == 30 {
				w.save("function.ts", "export const half = ;")
			}
		}
		w.save("function.ts", strings.Join(imports, "\n")+"\n"+open("String("+strings.Join(names, "+")+")"))
		if got := w.get("/a"); got.body != fmt.Sprint(60*round) {
			t.Errorf("round %d: %d %.300s", round, got.StatusCode, got.body)
		}
		w.save("lib/d59/m.ts", fmt.Sprintf("export const v = %d;\n", round+1)) // in a directory that is new
		if got := w.get("/a"); got.body != fmt.Sprint(60*round+1) {
			t.Errorf("round %d, one more: %d %.300s", round, got.StatusCode, got.body)
		}
	}
	if n := len(w.builds()); n > 20 {
		t.Errorf("%d builds were told of", n)
	}
}

// A WebSocket is the old code's until that is gone; the next one is the new code's.
func TestReload_WebSockets(t *testing.T) {
	t.Parallel()
	code := func(says string) string {
		return "export const auth = [];\nexport const a = () => '" + says + "';\nexport function setup(runtime) { runtime.onWebSocket('/chat', (ws) => { ws.send('" + says + "'); }); }\n"
	}
	w := newWorld(t, map[string]string{"function.ts": code("one")}, func(o *devserver.Options) { o.Workers.DrainTimeout = time.Second })
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	dial := func(want string) *websocket.Conn {
		t.Helper()
		c, _, err := websocket.Dial(ctx, w.url+"/chat", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, text, err := c.Read(ctx); err != nil || string(text) != want {
			t.Errorf("%s, %v; want %s", text, err, want)
		}
		return c
	}
	old := dial("one")
	defer old.CloseNow()
	w.save("function.ts", code("two"))
	if got := w.get("/a"); got.body != "two" {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
	next := dial("two")
	defer next.CloseNow()
	if _, _, err := old.Read(ctx); websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("the old one: %v", err)
	}
	until(t, "the old one is told of", func() bool {
		return slices.ContainsFunc(w.events(), func(e devserver.Event) bool { return e.Request != nil && e.Request.Path == "/chat" })
	})
}
