package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/fault"
)

func TestKeyFlags_Refusals(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.pem")
	if err := os.WriteFile(empty, []byte("-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"--quota", "5"}, {"--quota", "5/week"}, {"--quota", "0/day"}, {"--quota", "-1/day"}, {"--quota", "x/day"}, {"--quota", ""}, {"--quota", "5/day/month"},
		{"--expires", "tomorrow"}, {"--expires", "-1h"}, {"--expires", "0s"}, {"--expires", ""}, {"--expires", "2030-01-31"},
		{"--meta", "a"}, {"--meta", "=b"}, {"--meta", "a=1", "--meta", "a=2"}, {"--cert", filepath.Join(dir, "none")}, {"--cert", empty}, {"--cert", dir},
	} {
		var f keyFlags
		cmd := newVersion(Stdio{})
		f.register(cmd)
		if err := cmd.ParseFlags(args); err != nil {
			t.Fatal(err)
		}
		if in, err := f.change(cmd, time.Now()); err == nil {
			t.Errorf("%v: taken as %+v", args, in)
		}
	}
}

// What is not given is not asked for; what is given empty is asked for, empty.
func TestKeyFlags(t *testing.T) {
	t.Parallel()
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.FixedZone("", 3600))
	for _, tc := range []struct{ name, args, want string }{
		{"none", "", `{}`},
		{"lists", "--scope invoke,control --group a --group b --from 10.0.0.1 --from 2001:db8::1 --from 10.0.0.0/8 --from x", `{"scopes":["invoke","control"],"groups":["a","b"],"allowedCidrs":["10.0.0.1/32","2001:db8::1/128","10.0.0.0/8","x"]}`},
		{"empty lists", "--group= --from= --meta=", `{"groups":[],"allowedCidrs":[],"metadata":{}}`},
		{"no limits", "--rate 0 --quota none --binding none --cert= --expires never", `{"ratePerSecond":0,"quota":{"limit":0},"binding":"none","certThumbprint":"","expireTime":""}`},
		{"limits", "--rate 7 --quota 1000/month --binding dpop --expires 36h", `{"ratePerSecond":7,"quota":{"limit":1000,"per":"month"},"binding":"dpop","expireTime":"2030-01-02T11:00:00Z"}`},
		{"a time", "--expires 2031-01-01T00:00:00+02:00", `{"expireTime":"2031-01-01T00:00:00+02:00"}`},
		{"notes", "--meta a=b=c --meta b=", `{"metadata":{"a":"b=c","b":""}}`},
	} {
		var f keyFlags
		cmd := newVersion(Stdio{})
		f.register(cmd)
		if err := cmd.ParseFlags(strings.Fields(tc.args)); err != nil {
			t.Fatal(err)
		}
		in, err := f.change(cmd, now)
		if got, _ := json.Marshal(in); err != nil || string(got) != tc.want {
			t.Errorf("%s: %s, %v, want %s", tc.name, got, err, tc.want)
		}
	}
}

// The certificate's thumbprint, and with it the binding.
func TestKeyFlags_Certificate(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "c.pem") // the DER is empty: the sum is known from FIPS 180
	if err := os.WriteFile(path, []byte("-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var f keyFlags
	cmd := newVersion(Stdio{})
	f.register(cmd)
	cmd.ParseFlags([]string{"--cert", path})
	in, err := f.change(cmd, time.Now())
	if err != nil || *in.CertThumbprint != "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU" || *in.Binding != "mtls" {
		t.Errorf("%+v, %v", in, err)
	}
}

func TestInteractive(t *testing.T) {
	t.Parallel()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	file, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if interactive(null) || interactive(file) || interactive(r) || interactive(strings.NewReader("yes\n")) {
		t.Error("asks where nobody answers")
	}
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	if !interactive(terminal) {
		t.Error("does not ask at a terminal")
	}
}

// An interrupt at a question ends the command; Enter is not needed.
func TestConfirm_Interrupted(t *testing.T) {
	t.Parallel()
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := confirm(ctx, Stdio{In: terminal, Err: io.Discard}, "Sure?", "yes", "nothing was done"); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

// Names are shown without what could move the cursor.
func TestKeys_PrintedClean(t *testing.T) {
	t.Parallel()
	const evil = "a\x1b[2Jb\u202ec"
	var out bytes.Buffer
	p := printer{w: &out}
	k := api.AccessKey{AccessKeyID: "pak_1" + evil, DisplayName: evil, Scopes: []string{evil}, Groups: []string{evil}, Metadata: map[string]string{evil: evil}, ServicePlanID: evil, Binding: evil, AllowedCIDRs: []string{evil}, CertThumbprint: evil, FunctionID: evil, ProjectID: evil}
	printKey(p, k)
	printSecret(p, k, "psk_"+evil)
	k.ServicePlanID = ""
	printSecret(p, k, evil)
	k.Binding = ""
	printSecret(p, k, evil)
	printSubproject(p, api.Subproject{SubprojectID: evil, DisplayName: evil, ParentProjectID: evil, Labels: map[string]string{evil: evil}})
	if err := listSubprojects(p, []api.Subproject{{SubprojectID: evil, DisplayName: evil}}, false); err != nil {
		t.Error(err)
	}
	if strings.ContainsAny(out.String(), "\x1b\u202e") || !strings.Contains(out.String(), "abc") {
		t.Errorf("printed: %q", out.String())
	}
}

func TestSummary(t *testing.T) {
	t.Parallel()
	var took []time.Duration
	for i := range 20 {
		took = append(took, time.Duration(20-i)*time.Millisecond)
	}
	if r := summary(took); r.Count != 20 || r.P50 != 10 || r.P99 != 20 || r.Max != 20 || r.Samples[0] != 20 {
		t.Errorf("%+v", r)
	}
	if r := summary(took[:1]); r.P50 != 20 || r.P99 != 20 || r.Max != 20 {
		t.Errorf("of one: %+v", r)
	}
}

// fakePlanes is a control plane and a guarded URL that lets its keys in, in
// ways that a test chooses.
type fakePlanes struct {
	mu      sync.Mutex
	live    map[string]bool // by ID; guarded by mu
	revokes int             // guarded by mu
	url     func(f *fakePlanes, id string) int
	revoke  func(n int) int // the status of the n-th
}

func (f *fakePlanes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	id, _, _ := r.BasicAuth()
	switch {
	case r.URL.Path == "/oauth2/token":
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"access_token":"token","token_type":"bearer"}`)
	case !strings.HasPrefix(r.URL.Path, "/v1/"):
		w.WriteHeader(f.url(f, id))
	case r.Method == http.MethodPost:
		id := "pak_" + string(rune('a'+len(f.live)))
		f.live[id] = true
		json.NewEncoder(w).Encode(api.CreatedKey{AccessKey: api.AccessKey{AccessKeyID: id}, Secret: "s"})
	default:
		f.revokes++
		status := f.revoke(f.revokes)
		if status == 200 {
			f.live[r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]] = false
		}
		w.WriteHeader(status)
	}
}

func guarded(f *fakePlanes, id string) int {
	if f.live[id] {
		return 200
	}
	return 401
}

func TestProbe(t *testing.T) {
	t.Parallel()
	always := func(int) int { return 200 }
	for name, tc := range map[string]struct {
		url    func(*fakePlanes, string) int
		revoke func(int) int
		kind   fault.Kind
		text   string // of the failure; empty: it measures
	}{
		"it measures":              {guarded, always, 0, ""},
		"a revocation too soon":    {guarded, func(n int) int { return map[bool]int{true: 429, false: 200}[n == 1] }, 0, ""},
		"an open URL":              {func(*fakePlanes, string) int { return 200 }, always, fault.Invalid, "without a key"},
		"nothing there":            {func(*fakePlanes, string) int { return 404 }, always, fault.Invalid, "without a key"},
		"never let in":             {func(*fakePlanes, string) int { return 401 }, always, fault.Timeout, "not let in in time"},
		"never refused":            {func(_ *fakePlanes, id string) int { return map[bool]int{true: 401, false: 200}[id == ""] }, always, fault.Timeout, "not refused in time"},
		"of another project":       {func(_ *fakePlanes, id string) int { return map[bool]int{true: 401, false: 403}[id == ""] }, always, fault.Denied, "not let in by"},
		"a revocation that fails":  {guarded, func(n int) int { return map[bool]int{true: 503, false: 200}[n == 1] }, fault.Unavailable, ""},
		"a revocation not allowed": {guarded, func(n int) int { return map[bool]int{true: 403, false: 200}[n == 1] }, fault.Denied, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &fakePlanes{live: map[string]bool{}, url: tc.url, revoke: tc.revoke}
			s := httptest.NewServer(f)
			defer s.Close()
			var out bytes.Buffer
			timeout := 20 * time.Second
			if tc.kind == fault.Timeout {
				timeout = time.Second // in which the key has to be made all the same
			}
			client := connect(s.URL, "prj_1", "pak_0", "psk_0")
			client.HTTP = s.Client()
			err := probe(t.Context(), client, printer{w: &out}, probeOptions{url: s.URL + "/fn", timeout: timeout, count: 2, asJSON: true})
			if tc.kind == 0 {
				var r probeResult
				if json.Unmarshal(out.Bytes(), &r) != nil || err != nil || r.Count != 2 || len(r.Samples) != 2 || r.Max <= 0 || r.Max > 5000 || slices.Max(r.Samples) != r.Max {
					t.Errorf("%v, %s", err, out.String())
				}
			} else if fault.KindOf(err) != tc.kind || !strings.Contains(err.Error(), tc.text) || out.Len() > 0 {
				t.Errorf("%v, %s", err, out.String())
			}
			if strings.Contains(out.String(), "psk_") || err != nil && strings.Contains(err.Error(), "psk_") {
				t.Error("a secret is shown")
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			for id, live := range f.live {
				if live {
					t.Errorf("the key %s is left", id)
				}
			}
		})
	}
}

// An interrupt at any moment leaves no key.
func TestProbe_Interrupted(t *testing.T) {
	t.Parallel()
	for _, moment := range []string{"while it is not let in yet", "while it is let in", "while it is revoked"} {
		ctx, cancel := context.WithCancel(t.Context())
		calls := 0
		f := &fakePlanes{live: map[string]bool{}, revoke: func(n int) int {
			if moment == "while it is revoked" && n == 1 {
				cancel()
				return 503
			}
			return 200
		}}
		f.url = func(f *fakePlanes, id string) int {
			if id == "" {
				return 401
			}
			if calls++; calls == 2 && moment == "while it is let in" {
				cancel()
			}
			if moment == "while it is not let in yet" {
				if calls == 3 {
					cancel()
				}
				return 401
			}
			return guarded(f, id)
		}
		s := httptest.NewServer(f)
		client := connect(s.URL, "prj_1", "pak_0", "psk_0")
		client.HTTP = s.Client()
		err := probe(ctx, client, printer{w: &bytes.Buffer{}}, probeOptions{url: s.URL + "/fn", timeout: 10 * time.Second, count: 50})
		if err == nil || moment != "while it is revoked" && !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", moment, err)
		}
		s.Close()
		f.mu.Lock()
		if len(f.live) != 1 || f.live["pak_a"] {
			t.Errorf("%s: keys are left: %v", moment, f.live)
		}
		f.mu.Unlock()
		cancel()
	}
}
