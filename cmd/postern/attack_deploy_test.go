package main_test

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"postern.dev/postern/internal/platform"
)

// part is a file of an artefact that nobody built.
type part struct {
	name, text string
	mode       fs.FileMode
	size       int // bytes of it, where there is no text
}

// artefact is an archive of these files, in this order.
func artefact(t *testing.T, parts ...part) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, p := range parts {
		h := &zip.FileHeader{Name: p.name, Method: zip.Deflate}
		h.SetMode(p.mode | 0o644)
		w, err := z.CreateHeader(h)
		if err == nil {
			_, err = io.WriteString(w, p.text)
		}
		if err == nil && p.size > 0 {
			_, err = io.Copy(w, io.LimitReader(zeros{}, int64(p.size)))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// upload sends an artefact under a name, on a raw socket, and asks for its
// deployment. It returns both statuses; 0 where there was no answer.
func (v *vault) upload(name, hash string, archive []byte) (uploaded, deployed int, said string) {
	v.Helper()
	project := "/v1/projects/" + v.key["POSTERN_PROJECT_ID"]
	head := "Host: h\r\nConnection: close\r\n" + v.administrator()
	put, told := v.patient("PUT "+project+"/artefacts/"+hash+" HTTP/1.1\r\n"+head+"Content-Type: application/octet-stream\r\nContent-Length: "+strconv.Itoa(len(archive))+"\r\n\r\n", archive)
	body := `{"artefact":"` + hash + `"}`
	post, more := v.patient("POST "+project+"/functions/"+name+"/deployments HTTP/1.1\r\n"+head+"Content-Type: application/json\r\nContent-Length: "+strconv.Itoa(len(body))+"\r\n\r\n", []byte(body))
	return put, post, told + more
}

// administrator is the header of a token of the first key: its bare secret may
// be shown ten times a second only.
func (v *vault) administrator() string {
	v.Helper()
	return "Authorization: Bearer " + v.token(platform.AccessKey{ID: v.key["POSTERN_KEY_ID"], ProjectID: v.key["POSTERN_PROJECT_ID"]}, nil) + "\r\n"
}

// patient sends a head and a body to the control plane, and has a minute for
// the answer: a deploy starts a process.
func (v *vault) patient(head string, body []byte) (int, string) {
	v.Helper()
	conn, err := net.Dial("tcp", hostOf(v.control))
	if err != nil {
		v.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	go conn.Write(append([]byte(head), body...))
	text, _ := io.ReadAll(conn)
	line, rest, _ := strings.Cut(string(text), "\r\n\r\n")
	if len(line) < 12 {
		return 0, ""
	}
	status, _ := strconv.Atoi(line[9:12])
	return status, rest
}

// Whatever is uploaded: what is not an artefact is never unpacked or run, what
// does not start takes no traffic, and the version before answers on.
func TestAttack_Deploy(t *testing.T) {
	t.Parallel()
	v := newVault(t)
	marker := filepath.Join(t.TempDir(), "loaded")
	dir := filepath.Join(t.TempDir(), "live")
	v.project(dir, "before")
	v.must("functions", "deploy", dir)
	functionOf := func() (id string, deployments int) {
		f, d, err := v.activeFunction("live")
		if err != nil {
			t.Fatal(err)
		}
		all, err := v.db.Deployments(t.Context(), f.ID, 100)
		if err != nil {
			t.Fatal(err)
		}
		return d.ID, len(all)
	}
	active, _ := functionOf()

	manifest := part{name: "manifest.json", text: `{"name":"live","runtime":"node","source":"postern.json"}`}
	says := func(text string) part { return part{name: "manifest.json", text: text} }
	// What runs says so.
	runs := part{name: "worker.mjs", text: "import { writeFileSync } from 'node:fs'; writeFileSync(" + strconv.Quote(marker) + ", 'loaded');"}
	many := []part{manifest, runs}
	for i := range 499 {
		many = append(many, part{name: "f" + strconv.Itoa(i)})
	}
	good := artefact(t, manifest, runs)
	short := good[:len(good)-30]
	for _, c := range []struct {
		name    string
		archive []byte
		put     []int
		post    []int
	}{
		{"nothing", nil, []int{204, 400}, []int{400, 404}},
		{"no archive", []byte("PK nothing"), []int{204}, []int{400}},
		{"half an archive", short, []int{204}, []int{400}},
		{"an archive behind something else", append([]byte("#!/bin/sh\n"), good...), []int{204}, []int{400}},
		{"up and out", artefact(t, manifest, runs, part{name: "../../escaped", text: "x"}), []int{204}, []int{400}},
		{"up and out, in the middle", artefact(t, manifest, runs, part{name: "a/../../escaped", text: "x"}), []int{204}, []int{400}},
		{"up and out, backwards", artefact(t, manifest, runs, part{name: `..\..\escaped`, text: "x"}), []int{204}, []int{400}},
		{"from the root", artefact(t, manifest, runs, part{name: "/etc/cron.d/escaped", text: "x"}), []int{204}, []int{400}},
		{"of a drive", artefact(t, manifest, runs, part{name: `C:\escaped`, text: "x"}), []int{204}, []int{400}},
		{"a file of a dot", artefact(t, manifest, runs, part{name: ".", text: "x"}), []int{204}, []int{400}},
		{"a file without a name", artefact(t, manifest, runs, part{name: "", text: "x"}), []int{204}, []int{400}},
		{"a name with a NUL", artefact(t, manifest, runs, part{name: "worker.mjs\x00.map", text: "x"}), []int{204}, []int{400}},
		{"a name with a line break", artefact(t, manifest, runs, part{name: "a\nb", text: "x"}), []int{204}, []int{400}},
		{"a file that is not ours", artefact(t, manifest, runs, part{name: ".env", text: "x"}), []int{204}, []int{400}},
		{"a source up and out", artefact(t, manifest, runs, part{name: "source/../../escaped", text: "x"}), []int{204}, []int{400}},
		{"a source over what runs", artefact(t, manifest, runs, part{name: "source/../worker.mjs", text: "x"}), []int{204}, []int{400}},
		{"a source backwards", artefact(t, manifest, runs, part{name: `source\..\escaped`, text: "x"}), []int{204}, []int{400}},
		{"a source from the root", artefact(t, manifest, runs, part{name: "source//etc/escaped", text: "x"}), []int{204}, []int{400}},
		{"a source that is hidden", artefact(t, manifest, runs, part{name: "source/.env", text: "S=x"}), []int{204}, []int{400}},
		{"a hook among the sources", artefact(t, manifest, runs, part{name: "source/.git/hooks/post-checkout", text: "x", mode: 0o755}), []int{204}, []int{400}},
		{"a source that is a link", artefact(t, manifest, runs, part{name: "source/link", text: "/etc/passwd", mode: fs.ModeSymlink}), []int{204}, []int{400}},
		{"a source twice", artefact(t, manifest, runs, part{name: "source/a", text: "x"}, part{name: "source/a", text: "y"}), []int{204}, []int{400}},
		{"a source twice, by case", artefact(t, manifest, runs, part{name: "source/a", text: "x"}, part{name: "source/A", text: "y"}), []int{204}, []int{400}},
		{"a bomb among the sources", artefact(t, manifest, runs, part{name: "source/a", size: 26 << 20}), []int{204}, []int{400}},
		{"packages", artefact(t, manifest, runs, part{name: "node_modules/x/index.js", text: "x"}), []int{204}, []int{400}},
		{"a package.json", artefact(t, manifest, runs, part{name: "package.json", text: `{"type":"module"}`}), []int{204}, []int{400}},
		{"a link", artefact(t, manifest, runs, part{name: "worker.mjs.map", text: "/etc/passwd", mode: fs.ModeSymlink}), []int{204}, []int{400}},
		{"a link for the code", artefact(t, manifest, part{name: "worker.mjs", text: "/etc/passwd", mode: fs.ModeSymlink}), []int{204}, []int{400}},
		{"a link for the manifest", artefact(t, part{name: "manifest.json", text: "/etc/passwd", mode: fs.ModeSymlink}, runs), []int{204}, []int{400}},
		{"a directory", artefact(t, manifest, runs, part{name: "worker.mjs.map/", mode: fs.ModeDir}), []int{204}, []int{400}},
		{"a pipe", artefact(t, manifest, runs, part{name: "worker.mjs.map", mode: fs.ModeNamedPipe}), []int{204}, []int{400}},
		{"a device", artefact(t, manifest, runs, part{name: "worker.mjs.map", mode: fs.ModeDevice}), []int{204}, []int{400}},
		{"the code twice", artefact(t, manifest, part{name: "worker.mjs", text: "export const guarded = 1"}, runs), []int{204}, []int{400}},
		{"the manifest twice", artefact(t, manifest, says(`{"name":"other","runtime":"node","source":"postern.json"}`), runs), []int{204}, []int{400}},
		{"the code in other letters too", artefact(t, manifest, runs, part{name: "Worker.mjs", text: "x"}), []int{204}, []int{400}},
		{"501 files", artefact(t, many...), []int{204}, []int{400}},
		{"a bomb", artefact(t, manifest, runs, part{name: "worker.mjs.map", size: 64 << 20}), []int{204}, []int{400}},
		{"a bomb for a manifest", artefact(t, part{name: "manifest.json", text: manifest.text, size: 64 << 20}, runs), []int{204}, []int{400}},
		{"51 MiB and a byte", make([]byte, 51<<20+1), []int{413, 0}, []int{400, 404}},
		{"no code", artefact(t, manifest), []int{204}, []int{400}},
		{"no manifest", artefact(t, runs), []int{204}, []int{400}},
		{"a manifest of nothing", artefact(t, says(""), runs), []int{204}, []int{400}},
		{"a manifest of null", artefact(t, says("null"), runs), []int{204}, []int{400}},
		{"a manifest of a list", artefact(t, says("[]"), runs), []int{204}, []int{400}},
		{"a manifest with an unknown field", artefact(t, says(`{"name":"live","runtime":"node","source":"postern.json","auth":"none"}`), runs), []int{204}, []int{400}},
		{"a manifest with a field twice", artefact(t, says(`{"name":"live","name":"other","runtime":"node","source":"postern.json"}`), runs), []int{204}, []int{400}},
		{"a manifest of another type", artefact(t, says(`{"name":["live"],"runtime":"node","source":"postern.json"}`), runs), []int{204}, []int{400}},
		{"a manifest of another function", artefact(t, says(`{"name":"other","runtime":"node","source":"postern.json"}`), runs), []int{204}, []int{400}},
		{"a manifest of no name", artefact(t, says(`{"name":"../x","runtime":"node","source":"postern.json"}`), runs), []int{204}, []int{400}},
		{"a manifest with another runtime", artefact(t, says(`{"name":"live","runtime":"sh","source":"postern.json"}`), runs), []int{204}, []int{400}},
		{"a manifest with routes that clash", artefact(t, says(`{"name":"live","runtime":"node","source":"postern.json","routes":[{"path":"/a","handler":"a"},{"path":"/a","handler":"b"}]}`), runs), []int{204}, []int{400}},
		{"two manifests in one", artefact(t, says(manifest.text+manifest.text), runs), []int{204}, []int{400}},
		{"a deep manifest", artefact(t, says(`{"name":`+strings.Repeat("[", 20_000)+strings.Repeat("]", 20_000)+`}`), runs), []int{204}, []int{400}},
	} {
		sum := sha256.Sum256(c.archive)
		tried(t, c.name, string(sum[:]))
		put, post, said := v.upload("live", hex.EncodeToString(sum[:]), c.archive)
		if !slices.Contains(c.put, put) || !slices.Contains(c.post, post) {
			t.Errorf("%s: uploaded with %d, want %v; deployed with %d, want %v: %s", c.name, put, c.put, post, c.post, said)
		}
	}
	if _, err := os.Stat(marker); err == nil {
		t.Error("code of a refused artefact ran")
	}

	// The hash in the path is the hash of the bytes, or nothing is kept.
	sum := sha256.Sum256(good)
	other := sha256.Sum256([]byte("other"))
	for name, hash := range map[string]string{"another hash": hex.EncodeToString(other[:]), "in capitals": strings.ToUpper(hex.EncodeToString(sum[:])), "cut off": hex.EncodeToString(sum[:31]), "longer": hex.EncodeToString(sum[:]) + "00", "dots": strings.Repeat(".", 64), "a path": "..%2f..%2f" + hex.EncodeToString(sum[:]), "a path of dots": "../" + hex.EncodeToString(sum[:]), "no hash": strings.Repeat("g", 64)} {
		tried(t, name, hash)
		if put, post, said := v.upload("live", hash, good); put < 300 || put > 499 || post < 400 || post > 499 {
			t.Errorf("%s: uploaded with %d, deployed with %d: %s", name, put, post, said)
		}
	}
	// An upload that is cut off is no upload.
	project := "/v1/projects/" + v.key["POSTERN_PROJECT_ID"]
	for _, sent := range []int{0, 1, len(good) / 2, len(good) - 1} {
		tried(t, "cut off", strconv.Itoa(sent))
		conn, err := net.Dial("tcp", hostOf(v.control))
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(conn, "PUT "+project+"/artefacts/"+hex.EncodeToString(sum[:])+" HTTP/1.1\r\nHost: h\r\n"+v.administrator()+"Content-Type: application/octet-stream\r\nContent-Length: "+strconv.Itoa(len(good))+"\r\n\r\n")
		conn.Write(good[:sent])
		conn.Close()
		if got := v.status(v.control, "HEAD "+project+"/artefacts/"+hex.EncodeToString(sum[:])+" HTTP/1.1\r\nHost: h\r\n"+v.administrator()+"Connection: close\r\n\r\n"); got != 404 {
			t.Errorf("of %d bytes %d came, and it is there: %d", len(good), sent, got)
		}
	}
	if _, err := os.Stat(marker); err == nil {
		t.Error("code of a refused artefact ran")
	}

	// A version that does not start takes no traffic.
	for name, source := range map[string]string{
		"throws":            `throw new Error('at the start'); export const version = () => 'after';`,
		"exits":             `process.exit(0); export const version = () => 'after';`,
		"ends itself":       `process.kill(process.pid, 'SIGKILL'); export const version = () => 'after';`,
		"waits for ever":    `await new Promise(() => {}); export const version = () => 'after';`,
		"has no handlers":   `export const version = 'after';`,
		"opens what is not": `export const auth = ['guarded', 'other']; export const version = () => 'after'; export const guarded = () => 'after';`,
	} {
		tried(t, "a version that "+name, source)
		said, err := v.tried("live", map[string]string{"postern.json": `{"name":"live","runtime":"node"}`, "function.ts": source})
		if err == nil || strings.Contains(said, "panic") {
			t.Errorf("a version that %s is deployed: %s", name, said)
		}
		if status, got := call(t, v.client, "GET", v.gateway+"/fn/live/version", "", "", ""); status != 200 || got != "before" {
			t.Errorf("after a version that %s: %d %s", name, status, got)
		}
	}
	if now, n := functionOf(); now != active || n != 1 {
		t.Errorf("%d deployments, active is %s", n, now)
	}
	for _, root := range []string{v.data, filepath.Dir(v.data)} {
		filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
			if err == nil && (strings.Contains(e.Name(), "escaped") || e.Type()&(fs.ModeSymlink|fs.ModeNamedPipe|fs.ModeDevice) != 0) {
				t.Errorf("there is %s, %v", path, e.Type())
			}
			return nil
		})
	}

	// Of two at once one is first; either way one of them answers, whole.
	tried(t, "two at once", "")
	var both sync.WaitGroup
	for _, version := range []string{"one", "two"} {
		dir := filepath.Join(t.TempDir(), version)
		v.project(dir, version)
		both.Go(func() {
			if said, err := v.command("functions", "deploy", dir); err != nil && !strings.Contains(said, "Another deploy") && !strings.Contains(said, "raced") {
				t.Errorf("two at once: %s", said)
			}
		})
	}
	both.Wait()
	now, n := functionOf()
	_, got := call(t, v.client, "GET", v.gateway+"/fn/live/version", "", "", "")
	if now == active || n < 2 || got != "one" && got != "two" {
		t.Errorf("%d deployments, %s answers", n, got)
	}
	if got := v.raw("GET /fn/live/guarded HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"); got != 401 {
		t.Errorf("the guarded handler is answered with %d", got)
	}
}
