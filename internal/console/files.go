package console

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"net/http"
)

// files are what browsers may keep, with their kinds.
var files = map[string]struct{ path, kind string }{
	"style.css":     {"assets/style.css", "text/css; charset=utf-8"},
	"console.js":    {"assets/console.js", "text/javascript; charset=utf-8"},
	"live.js":       {"assets/live.js", "text/javascript; charset=utf-8"},
	"logs.js":       {"assets/logs.js", "text/javascript; charset=utf-8"},
	"chart.js":      {"assets/chart.js", "text/javascript; charset=utf-8"},
	"icon.svg":      {"assets/icon.svg", "image/svg+xml"},
	"htmx.min.js":   {"vendored/htmx.min.js", "text/javascript; charset=utf-8"},
	"uplot.min.js":  {"vendored/uplot.min.js", "text/javascript; charset=utf-8"},
	"uplot.min.css": {"vendored/uplot.min.css", "text/css; charset=utf-8"},
}

// stamp is a hash of everything that is embedded.
func stamp() string {
	h := sha256.New()
	err := fs.WalkDir(assets, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := assets.ReadFile(path)
		h.Write([]byte(path))
		h.Write(data)
		return err
	})
	if err != nil {
		panic(err) // they are in the binary
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// asset sends one of the files. They are the same for everybody, so nobody need be
// signed in; a page names them with the stamp, so a browser may keep them for ever.
func (c *Console) asset(w http.ResponseWriter, r *http.Request) {
	f, ok := files[r.PathValue("name")]
	if !ok {
		c.stray(w, r)
		return
	}
	data, err := assets.ReadFile(f.path)
	if err != nil {
		panic(err)
	}
	h := w.Header()
	h.Set("Content-Type", f.kind)
	if r.PathValue("stamp") == c.stamp {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	_, _ = w.Write(data)
}
