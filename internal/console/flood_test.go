package console_test

import (
	"bufio"
	"crypto/sha256"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/account"
	"postern.dev/postern/internal/admin"
	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/console"
	"postern.dev/postern/internal/funclog"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/store"
)

// newLogs is the console over the control API with a real store and a real log,
// and one function that nobody calls.
func newLogs(t *testing.T) (s *site, book *funclog.Book, functionID string) {
	t.Helper()
	dir := t.TempDir()
	db, err := store.Open(t.Context(), "sqlite:"+filepath.Join(dir, "p.db"))
	if err != nil {
		t.Fatal(err)
	}
	if book, err = funclog.Open(filepath.Join(dir, "logs")); err != nil {
		t.Fatal(err)
	}
	now, secret := time.Now(), accesskey.NewSecret()
	project, key := function.NewProjectID(now), accesskey.NewID(now)
	k := platform.AccessKey{ID: accesskey.NewID(now), ProjectID: project, DisplayName: "first", SecretHash: secret.Hash(), Generation: 1, Scopes: []platform.Scope{platform.ScopeControl}, CreatedAt: now}
	if _, err := db.Bootstrap(t.Context(), platform.Project{ID: project, Name: "p", CreatedAt: now}, k); err != nil {
		t.Fatal(err)
	}
	f := platform.Function{ID: function.NewFunctionID(now), ProjectID: project, Name: "loud"}
	if _, err := db.Deploy(t.Context(), platform.DeployInput{Function: f,
		Deployment: platform.Deployment{ID: "dep_1", FunctionID: f.ID, ProjectID: project, KeyID: key, Handlers: []platform.Handler{{Name: "a"}}, CreatedAt: now},
		Key:        platform.AccessKey{ID: key, ProjectID: project, DisplayName: "function:loud", FunctionID: f.ID, SecretHash: sha256.Sum256([]byte(key)), Scopes: []platform.Scope{platform.ScopeInvoke}, CreatedAt: now}}); err != nil {
		t.Fatal(err)
	}
	b := auth.NewBuilder()
	b.Add(k)
	directory := b.Directory()
	keys := func() *auth.Directory { return directory }
	stopping := make(chan struct{})
	api, _ := admin.New(admin.Options{Version: "test", Store: db, Logs: book, Stopping: stopping, Auth: auth.NewAuthenticator("http://control"), Issuer: "http://control", BasicRate: 100, BasicBurst: 100,
		Directory: keys, Log: slog.New(slog.DiscardHandler)})
	accounts := account.New(account.Options{Store: db, Directory: keys})
	web := httptest.NewServer(console.New(console.Options{API: api, Accounts: accounts, Issuer: "http://control", Version: "test", Log: slog.New(slog.DiscardHandler)}))
	t.Cleanup(func() { close(stopping); web.CloseClientConnections(); web.Close(); book.Close(); db.Close() })
	cookies, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	s = &site{T: t, url: web.URL, project: project, form: url.Values{"key-id": {k.ID}, "key-secret": {secret.Reveal()}}, client: &http.Client{Jar: cookies, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	s.signIn(s.form)
	return s, book, f.ID
}

// another is somebody else who signed in with the same key.
func (s *site) another() *site {
	s.Helper()
	cookies, err := cookiejar.New(nil)
	if err != nil {
		s.Fatal(err)
	}
	client := *s.client
	client.Jar = cookies
	other := *s
	other.client = &client
	other.signIn(s.form)
	return &other
}

// listen opens a stream of the log on a connection of its own and reads its header alone.
func (s *site) listen() *bufio.Reader {
	s.Helper()
	r, err := http.NewRequestWithContext(s.Context(), "GET", s.url+"/console/api/v1/projects/"+s.project+"/functions/loud/logs/stream?view=entries", nil)
	if err != nil {
		s.Fatal(err)
	}
	for _, c := range s.client.Jar.Cookies(r.URL) {
		r.AddCookie(c)
	}
	conn, err := net.Dial("tcp", r.URL.Host)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(2 * time.Minute)) // nobody waits for ever
	if err := r.Write(conn); err != nil {
		s.Fatal(err)
	}
	from := bufio.NewReader(conn)
	res, err := http.ReadResponse(from, r)
	if err != nil || res.StatusCode != 200 {
		s.Fatal(res, err)
	}
	return bufio.NewReader(res.Body)
}

// However fast a function writes and however slowly its log is read, who writes
// does not wait and the server holds no more than the last moments: a reader is
// behind in the log, and is told what it missed.
func TestLogs_AreBounded(t *testing.T) {
	s, book, id := newLogs(t)
	const lines, size = 60_000, 1 << 10
	slow := s.listen()
	s.listen() // and is not read
	read := make(chan int, 1)
	go func() { // some bytes now and then, as over a bad line
		n, buf := 0, make([]byte, 512)
		for range 200 {
			m, err := slow.Read(buf)
			if n += m; err != nil {
				break
			}
			time.Sleep(time.Millisecond)
		}
		read <- n
	}()
	before := heap()
	text := strings.Repeat("x", size)
	began := time.Now()
	for range lines {
		book.Append(id, funclog.Entry{At: time.Now(), Text: text})
	}
	if took := time.Since(began); took > time.Minute { // a reader who is waited for takes two
		t.Errorf("%d lines took %v to write", lines, took)
	}
	if grown := heap() - before; grown > 24<<20 {
		t.Errorf("%d MiB were written, and %d MiB are held", lines*size>>20, grown>>20)
	}
	if n := <-read; n == 0 {
		t.Error("the slow reader has read nothing")
	}
	book.Append(id, funclog.Entry{At: time.Now(), Text: "the last of all"})
	for { // who reads on is told that there was more: by the stream, or by the log, where the disk was too slow
		line, err := slow.ReadString('\n')
		if err != nil {
			t.Fatalf("the stream broke off: %v", err)
		}
		if line == "event: lost\n" || strings.Contains(line, "lines are missing here") {
			break
		}
		if strings.Contains(line, "the last of all") {
			t.Fatal("the slow reader was not told of what it missed")
		}
	}
}

// heap is how much is held at least.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
