package admin

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"math"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/negotiation"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/platform"
)

// Usages is the reading of usage.
type Usages interface {
	Usage(ctx context.Context, projectID string, from, to platform.Day, by platform.UsageBy, after string, limit int) ([]platform.UsageSum, error)
	UsageOfKey(ctx context.Context, keyID string, from, to platform.Day, limit int) ([]platform.UsageSum, error)
	UsageOfFunction(ctx context.Context, projectID, functionID string, from, to platform.Day) (platform.UsageSum, error)
	UsageTotal(ctx context.Context, projectID string, from, to platform.Day) (platform.UsageSum, error)
}

const csvType = "text/csv; charset=utf-8; header=present"

func (s *service) registerUsage() {
	schema := s.api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[api.UsageReport](), true, "UsageReport")
	register(s, huma.Operation{OperationID: "getUsage", Method: http.MethodGet, Path: "/v1/projects/{projectId}/usage", Summary: "What ran, by function, key or day",
		Description: "Days are of UTC; a call is counted on the day on which it ended, a few seconds after. As CSV (Accept: text/csv, or format=csv) the answer has all pages and no total.",
		Errors:      []int{400},
		Responses: map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{
			"application/json": {Schema: schema}, "text/csv": {Schema: &huma.Schema{Type: huma.TypeString}}}}}}, s.usage)
	register(s, huma.Operation{OperationID: "getFunctionUsage", Method: http.MethodGet, Path: "/v1/projects/{projectId}/functions/{name}/usage", Summary: "What a function used",
		Description: "The function is named by its name or its ID.", Errors: []int{400, 404}}, s.functionUsage)
}

// Period is the days for which usage is asked.
type Period struct {
	From string `query:"from" maxLength:"10" doc:"The first day of UTC, such as 2026-11-01; default: the first of this month."`
	To   string `query:"to" maxLength:"10" doc:"The last day of UTC, included; default: today."`
}

// UsageQuery is what usage is asked for.
type UsageQuery struct {
	ProjectPath
	Period
	By        string `query:"by" enum:"function,key,day" default:"function"`
	Format    string `query:"format" enum:"json,csv" doc:"Goes before the header Accept."`
	Accept    string `header:"Accept"`
	PageSize  int    `query:"pageSize" minimum:"1" maximum:"1000" default:"100"`
	PageToken string `query:"pageToken" maxLength:"2048" pattern:"^[^\\x00]*$" doc:"nextPageToken of the page before."`
}

// streamed is an answer that writes itself.
type streamed struct{ Body func(huma.Context) }

func (s *service) usage(ctx context.Context, in *UsageQuery) (*streamed, error) {
	from, to, err := in.period(time.Now())
	if err != nil {
		return nil, err
	}
	if in.asCSV() {
		return s.usageCSV(ctx, in, from, to)
	}
	sums, err := s.o.Store.Usage(ctx, in.ProjectID, from, to, platform.UsageBy(in.By), in.PageToken, in.PageSize+1)
	if err != nil {
		return nil, err
	}
	total, err := s.o.Store.UsageTotal(ctx, in.ProjectID, from, to)
	if err != nil {
		return nil, err
	}
	out := api.UsageReport{From: from.String(), To: to.String(), By: in.By, Usage: []api.UsageSum{}, Total: describeCounts(total)}
	sums, out.NextPageToken = pageOf(sums, in.PageSize, func(sum platform.UsageSum) string { return sum.ID })
	for _, sum := range sums {
		out.Usage = append(out.Usage, api.UsageSum{ID: idOf(sum, in.By), Name: sum.Name, UsageCounts: describeCounts(sum)})
	}
	return &streamed{func(c huma.Context) {
		c.SetHeader("Content-Type", "application/json")
		json.NewEncoder(c.BodyWriter()).Encode(out) // a caller who went away is no failure of ours
	}}, nil
}

func (s *service) functionUsage(ctx context.Context, in *struct {
	FunctionPath
	Period
}) (*body[api.FunctionUsage], error) {
	from, to, err := in.period(time.Now())
	if err != nil {
		return nil, err
	}
	f, err := s.named(ctx, in.FunctionPath)
	if err != nil {
		return nil, err
	}
	sum, err := s.o.Store.UsageOfFunction(ctx, in.ProjectID, f.ID, from, to)
	if err != nil {
		return nil, err
	}
	return &body[api.FunctionUsage]{api.FunctionUsage{FunctionID: f.ID, From: from.String(), To: to.String(), UsageCounts: describeCounts(sum)}}, nil
}

// period is the days that are asked for.
func (in *Period) period(now time.Time) (from, to platform.Day, err error) {
	today := platform.DayOf(now)
	from, to = platform.DayOf(platform.PerMonth.Begin(now)), today
	for _, d := range []struct {
		name, text string
		day        *platform.Day
	}{{"from", in.From, &from}, {"to", in.To, &to}} {
		if d.text == "" {
			continue
		}
		if *d.day, err = platform.ParseDay(d.text); err != nil {
			return 0, 0, fault.New(fault.Invalid, d.name+" is no day").WithHint("write it like 2026-11-01; days are of UTC")
		}
	}
	if from > to {
		return 0, 0, fault.New(fault.Invalid, "from is after to").WithHint("from and to are days of UTC, both included; without them it is this month until today")
	}
	return from, to, nil
}

func (in *UsageQuery) asCSV() bool {
	if in.Format != "" {
		return in.Format == "csv"
	}
	return in.Accept != "" && negotiation.SelectQValue(in.Accept, []string{"application/json", "text/csv"}) == "text/csv"
}

// idOf is a sum's ID as callers know it: the store numbers days.
func idOf(sum platform.UsageSum, by string) string {
	if n, err := strconv.ParseInt(sum.ID, 10, 32); by == string(platform.UsageByDay) && err == nil {
		return platform.Day(n).String()
	}
	return sum.ID
}

func describeCounts(s platform.UsageSum) api.UsageCounts {
	return api.UsageCounts{Invocations: s.Invocations, Errors: s.Errors, ComputeMs: float64(s.ComputeMicros) / 1000, GBSeconds: gbSeconds(s.MemoryMicros),
		BytesIn: s.BytesIn, BytesOut: s.BytesOut, Refused: s.Refused, RefusedBy: s.RefusedBy}
}

// gbSeconds is MiB·µs in GB-seconds, to six places.
func gbSeconds(memoryMicros int64) float64 { return math.Round(float64(memoryMicros)/1024) / 1e6 }

// usageCSV answers with all pages. The first is read before the answer begins;
// when a later one cannot be, the answer is cut off.
func (s *service) usageCSV(ctx context.Context, in *UsageQuery, from, to platform.Day) (*streamed, error) {
	const page = 1000
	read := func(after string) ([]platform.UsageSum, error) {
		return s.o.Store.Usage(ctx, in.ProjectID, from, to, platform.UsageBy(in.By), after, page)
	}
	sums, err := read("")
	if err != nil {
		return nil, err
	}
	return &streamed{func(c huma.Context) {
		c.SetHeader("Content-Type", csvType)
		c.SetHeader("Content-Disposition", `attachment; filename="usage-`+from.String()+`-`+to.String()+`.csv"`)
		w := csv.NewWriter(c.BodyWriter())
		w.Write(csvHeading(in.By))
		for len(sums) > 0 {
			writeCSV(w, sums, in.By)
			if len(sums) < page {
				break
			}
			if sums, err = read(sums[len(sums)-1].ID); err != nil {
				panic(err) // nobody may take half of it for the whole
			}
		}
		w.Flush()
	}}, nil
}

func csvHeading(by string) []string {
	first := map[string][]string{"key": {"access_key_id", "access_key"}, "day": {"day_utc"}}[by]
	if first == nil {
		first = []string{"function_id", "function"}
	}
	return append(first, "invocations", "errors", "compute_ms", "gb_seconds", "bytes_in", "bytes_out", "refused")
}

func writeCSV(w *csv.Writer, sums []platform.UsageSum, by string) {
	for _, sum := range sums {
		row := []string{cell(idOf(sum, by))}
		if by != string(platform.UsageByDay) {
			row = append(row, cell(sum.Name))
		}
		c := describeCounts(sum)
		w.Write(append(row, whole(c.Invocations), whole(c.Errors), strconv.FormatFloat(c.ComputeMs, 'f', -1, 64), strconv.FormatFloat(c.GBSeconds, 'f', -1, 64),
			whole(c.BytesIn), whole(c.BytesOut), whole(c.Refused)))
	}
}

func whole(n int64) string { return strconv.FormatInt(n, 10) }

// cell is a text that no spreadsheet takes for a formula: whoever names a key
// must not run anything where the file is opened. A text that would be taken
// for one gets an apostrophe before it, as spreadsheets mark text.
func cell(s string) string {
	first := strings.TrimLeft(s, " \t\r\n\v\f\u00a0\ufeff")
	if first != "" && strings.ContainsRune("=+-@|%\uff1d\uff0b\uff0d\uff20", []rune(first)[0]) || s != "" && strings.ContainsRune("\t\r\n", rune(s[0])) {
		return "'" + s
	}
	return s
}
