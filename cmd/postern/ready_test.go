package main_test

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// readiness is what /readyz says.
type readiness struct {
	status   int
	Ready    bool
	Degraded []struct {
		Part  string
		Since *time.Time
	}
}

func (s *site) readyz() (r readiness) {
	s.Helper()
	res, err := http.Get(s.control + "/readyz")
	if err != nil {
		s.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || json.Unmarshal(body, &r) != nil {
		s.Fatalf("%s: %v", body, err)
	}
	if strings.Contains(string(body), s.data) {
		s.Errorf("whoever asks is told where the data are: %s", body)
	}
	r.status = res.StatusCode
	return r
}

func (r readiness) lacks(part string) bool {
	for _, d := range r.Degraded {
		if d.Part == part {
			return d.Since == nil || d.Since.IsZero() || time.Since(*d.Since) > time.Minute
		}
	}
	return true
}

// A journal that cannot be written, as on a full disk, is told of while it lasts,
// and calls go on; and the metrics tell what there is to tell.
func TestReadyz_UsageJournal(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.deployed(`{"name": "live", "runtime": "node"}`, tracedFunction)
	if r := s.readyz(); r.status != 200 || !r.Ready || len(r.Degraded) != 0 {
		t.Fatalf("a server that is well: %+v", r)
	}
	journals := filepath.Join(s.data, "usage")
	if err := os.RemoveAll(journals); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(journals, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, status, _ := s.traced("open", nil); status != 200 {
		t.Fatalf("status %d", status)
	}
	eventually(t, "the journal is told of", func() bool { return !s.readyz().lacks("usage journal") })
	if r := s.readyz(); r.status != 200 || !r.Ready {
		t.Errorf("without a journal: %+v", r)
	}
	if err := os.Remove(journals); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(journals, 0o700); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the journal is back", func() bool {
		_, status, _ := s.traced("open", nil)
		return status == 200 && len(s.readyz().Degraded) == 0
	})
	res, err := http.Get(s.control + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`postern_build_info{go="go`, `postern_workers{function="live"} 1`, `postern_queue_length{function="live"} 0`, "postern_snapshot_sequence ", `postern_decisions_total{outcome="allowed",step="invoke"} `,
		`postern_response_bytes_total{function="live"} `, "postern_usage_pending_rows ", "postern_change_delay_seconds_count "} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the metrics lack %s:\n%s", want, text)
		}
	}
}
