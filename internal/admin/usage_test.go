package admin_test

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/platform"
)

// used writes usage of a project: of n functions by one caller on a day.
func (w *world) used(t *testing.T, project string, batch int64, day platform.Day, caller string, n int) {
	t.Helper()
	var rows []platform.UsageRow
	for i := range n {
		rows = append(rows, platform.UsageRow{Day: day, ProjectID: project, FunctionID: fmt.Sprintf("fn-%04d", i), FunctionName: fmt.Sprint("f", i), Caller: caller,
			Counts: platform.Counts{Invocations: 10, Errors: 1, ComputeMicros: 1500, MemoryMicros: 128 * 1500, BytesIn: 3, BytesOut: 4}})
	}
	rows = append(rows, platform.UsageRow{Day: day, ProjectID: project, FunctionID: "fn-0000", FunctionName: "f0", Code: "unauthenticated", Counts: platform.Counts{Refused: 5}})
	if err := w.db.WriteUsage(t.Context(), "w-"+project, batch, rows); err != nil {
		t.Fatal(err)
	}
}

func (w *world) usage(t *testing.T, query, accept string) (out api.UsageReport, text, contentType string) {
	t.Helper()
	r := httptest.NewRequest("GET", "/v1/projects/"+w.project+"/usage?"+query, nil)
	r.Header.Set("X-API-Key", w.key["control"])
	if accept != "" {
		r.Header.Set("Accept", accept)
	}
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	if rec.Code != 200 {
		t.Fatalf("%s: %d %s", query, rec.Code, rec.Body)
	}
	json.Unmarshal(rec.Body.Bytes(), &out)
	return out, rec.Body.String(), rec.Header().Get("Content-Type")
}

func TestUsage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	day := platform.DayOf(time.Now())
	w.used(t, w.project, 1, day, w.id["invoke"], 2)
	w.used(t, w.project, 2, 20000, platform.CallerOpen, 1)
	w.used(t, w.elsewhere, 1, day, w.id["elsewhere"], 3)
	counts := func(n int64, refused int64) api.UsageCounts {
		c := api.UsageCounts{Invocations: 10 * n, Errors: n, ComputeMs: 1.5 * float64(n), GBSeconds: 0.000188 * float64(n), BytesIn: 3 * n, BytesOut: 4 * n, Refused: refused}
		if refused > 0 {
			c.RefusedBy = map[string]int64{"unauthenticated": refused}
		}
		return c
	}
	two := counts(2, 5)
	two.GBSeconds = 0.000375 // of the sum, not of what was rounded
	month := platform.DayOf(platform.PerMonth.Begin(time.Now())).String()
	for name, tc := range map[string]struct {
		query string
		want  api.UsageReport
	}{
		"this month": {"", api.UsageReport{From: month, To: day.String(), By: "function", Total: two,
			Usage: []api.UsageSum{{ID: "fn-0000", Name: "f0", UsageCounts: counts(1, 5)}, {ID: "fn-0001", Name: "f1", UsageCounts: counts(1, 0)}}}},
		"first page": {"pageSize=1", api.UsageReport{From: month, To: day.String(), By: "function", Total: two, NextPageToken: "fn-0000",
			Usage: []api.UsageSum{{ID: "fn-0000", Name: "f0", UsageCounts: counts(1, 5)}}}},
		"last page": {"pageSize=1&pageToken=fn-0000", api.UsageReport{From: month, To: day.String(), By: "function", Total: two,
			Usage: []api.UsageSum{{ID: "fn-0001", Name: "f1", UsageCounts: counts(1, 0)}}}},
		"by key": {"by=key&from=1970-01-01&to=2024-12-31", api.UsageReport{From: "1970-01-01", To: "2024-12-31", By: "key", Total: counts(1, 5),
			Usage: []api.UsageSum{{ID: "open", UsageCounts: counts(1, 0)}}}},
		"by day": {"by=day&from=2024-10-04&to=2024-10-04", api.UsageReport{From: "2024-10-04", To: "2024-10-04", By: "day", Total: counts(1, 5),
			Usage: []api.UsageSum{{ID: "2024-10-04", UsageCounts: counts(1, 5)}}}},
		"the day after": {"from=2024-10-05&to=2024-10-05", api.UsageReport{From: "2024-10-05", To: "2024-10-05", By: "function", Usage: []api.UsageSum{}}},
	} {
		got, _, contentType := w.usage(t, tc.query, "")
		if d := cmp.Diff(tc.want, got); d != "" || contentType != "application/json" {
			t.Errorf("%s: %s %s", name, contentType, d)
		}
	}
	for query, status := range map[string]int{"from=2026-02-30": 400, "to=today": 400, "from=2026-02-02&to=2026-02-01": 400, "from=1969-12-31": 400, "by=month": 422, "format=xml": 422,
		"pageSize=0": 422, "pageSize=1001": 422, "pageToken=%00": 422, "from=2026-01-01T00:00": 422} {
		rec, p := w.do("GET", "/v1/projects/"+w.project+"/usage?"+query, w.key["control"], "")
		if rec.Code != status || p.Code != "invalid_request" || p.RequestID == "" || rec.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s", query, rec.Code, rec.Body)
		}
	}
}

func TestUsage_CSV(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	day := platform.DayOf(time.Now())
	w.used(t, w.project, 1, day, platform.CallerOpen, 2500) // more than one page
	_, text, contentType := w.usage(t, "format=csv", "")
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil || len(rows) != 2501 || !strings.HasPrefix(contentType, "text/csv") {
		t.Fatalf("%d rows, %v, %s", len(rows), err, contentType)
	}
	if d := cmp.Diff([][]string{{"function_id", "function", "invocations", "errors", "compute_ms", "gb_seconds", "bytes_in", "bytes_out", "refused"},
		{"fn-0000", "f0", "10", "1", "1.5", "0.000188", "3", "4", "5"}}, rows[:2]); d != "" {
		t.Error(d)
	}
	for accept, isCSV := range map[string]bool{"text/csv": true, "text/csv, application/json;q=0.5": true, "application/json": false, "*/*": false, "text/html": false, "text/csv;q=0": false,
		"text/csv;q=0.1, application/json": false} {
		if _, _, contentType := w.usage(t, "", accept); strings.HasPrefix(contentType, "text/csv") != isCSV {
			t.Errorf("Accept: %s: %s", accept, contentType)
		}
	}
	if _, _, contentType := w.usage(t, "format=json", "text/csv"); contentType != "application/json" {
		t.Errorf("format=json: %s", contentType)
	}
	if rec, p := w.do("GET", "/v1/projects/"+w.project+"/usage?format=csv&from=never", w.key["control"], ""); rec.Code != 400 || p.Code != "invalid_request" {
		t.Errorf("a refusal as CSV: %d %s", rec.Code, rec.Body)
	}
}

// A name that a spreadsheet would run is text in the CSV.
func TestUsage_CSVInjection(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	names := []string{`=cmd|' /C calc'!A0`, "+1", "-1", "@SUM(A1)", "\t=1", " =1", "＝1", `a,"=1"`, "%0A=1", "|x", "plain-name"}
	day := platform.DayOf(time.Now())
	for i, name := range names {
		k := platform.AccessKey{ID: accesskey.NewID(time.Now()), ProjectID: w.project, DisplayName: name, SecretHash: accesskey.NewSecret().Hash(), CreatedAt: time.Now()}
		if _, err := w.db.CreateKey(t.Context(), k); err != nil {
			t.Fatal(err)
		}
		w.used(t, w.project, int64(i+1), day, k.ID, 1)
	}
	_, text, _ := w.usage(t, "format=csv&by=key", "")
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil || len(rows) != len(names)+1 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	var got, want []string
	for _, row := range rows[1:] {
		got = append(got, row[1])
	}
	for _, name := range names {
		if name != "plain-name" && name != `a,"=1"` {
			name = "'" + name
		}
		want = append(want, name)
	}
	less := func(a, b string) bool { return a < b }
	if d := cmp.Diff(want, got, cmpopts.SortSlices(less)); d != "" {
		t.Error(d)
	}
}

// A function's own usage is told by its name and by its ID, and nobody else's.
func TestUsage_OfAFunction(t *testing.T) {
	t.Parallel()
	w, _, id, _ := logged(t)
	w.withFunction(t, w.elsewhere, "theirs", platform.Handler{Name: "h", Guard: platform.GuardKey})
	day := platform.DayOf(time.Now())
	for i, row := range []platform.UsageRow{
		{Day: day, FunctionID: id, Caller: w.id["invoke"], Counts: platform.Counts{Invocations: 7, Errors: 2, BytesIn: 3}},
		{Day: 20000, FunctionID: id, Caller: w.id["invoke"], Counts: platform.Counts{Invocations: 100}},
		{Day: day, FunctionID: id, Code: "unauthenticated", Counts: platform.Counts{Refused: 5}},
		{Day: day, FunctionID: "fn-other", Caller: w.id["invoke"], Counts: platform.Counts{Invocations: 50}},
	} {
		row.ProjectID, row.FunctionName = w.project, "f"
		if err := w.db.WriteUsage(t.Context(), "w", int64(i+1), []platform.UsageRow{row}); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{
		"f/usage": "200 7 2 5", id + "/usage": "200 7 2 5", "f/usage?from=2024-10-04&to=2024-10-04": "200 100 0 0", "f/usage?from=2024-01-01": "200 107 2 5",
		"f/usage?from=soon": "400 0 0 0", "f/usage?from=2024-10-05&to=2024-10-04": "400 0 0 0", "nosuch/usage": "404 0 0 0", "theirs/usage": "404 0 0 0",
	} {
		rec, _ := w.do("GET", "/v1/projects/"+w.project+"/functions/"+path, w.key["control"], "")
		var out api.FunctionUsage
		json.Unmarshal(rec.Body.Bytes(), &out)
		if got := fmt.Sprint(rec.Code, out.Invocations, out.Errors, out.Refused); got != want {
			t.Errorf("%s: %s, want %s: %s", path, got, want, rec.Body)
		}
	}
}
