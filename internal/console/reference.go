package console

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/openapi"
	"postern.dev/postern/internal/say"
)

func (c *Console) registerReference() {
	c.page("GET /p/{project}/api", c.referenceIndex)
	c.page("GET /p/{project}/api/{operation}", c.describeOperation)
	c.page("POST /p/{project}/api/{operation}", c.tryOperation)
}

// reference is the API's description, which does not change while the process runs.
func (c *Console) reference(v *visit) (*openapi.Document, error) {
	if d := c.ref.Load(); d != nil {
		return d, nil
	}
	r, err := http.NewRequestWithContext(v.r.Context(), http.MethodGet, "http://console.invalid/openapi.json", nil)
	if err != nil {
		return nil, err
	}
	res, err := v.api.HTTP.Do(r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	d, err := openapi.Read(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		return nil, fault.Wrap(fmt.Errorf("answered %d: %v", res.StatusCode, err), fault.Unavailable, "the API's description cannot be read")
	}
	c.ref.Store(d)
	return d, nil
}

// referencePage is what the first page of the reference shows.
type referencePage struct {
	Query string
	Parts []openapi.Part
	Count int
}

func (c *Console) referenceIndex(v *visit) error {
	d, err := c.reference(v)
	if err != nil {
		return err
	}
	body := referencePage{Query: v.r.URL.Query().Get("q")}
	body.Parts = d.Search(body.Query)
	for _, p := range body.Parts {
		body.Count += len(p.Operations)
	}
	return v.show("reference", "api", "API reference", body)
}

// methodClass is the class of the sign of an operation's method.
func methodClass(o *openapi.Operation) string {
	switch {
	case o.Method == http.MethodDelete:
		return "bad"
	case !o.Changes():
		return "good"
	}
	return "warn"
}

// operationPage is what the page of one operation shows.
type operationPage struct {
	*openapi.Operation
	*openapi.Form
	Fields  []openapi.Field // of the body
	Answers []openapi.Answer
	Asks    *attempt // what is to be confirmed first; nil: nothing
	Got     *got     // what was answered; nil: nobody tried
}

// attempt is a request that somebody wants to try.
type attempt struct {
	*openapi.Request
	Fields [][2]string // of the form, to be sent again
}

func (c *Console) describeOperation(v *visit) error {
	body, err := c.operationPage(v)
	if err != nil {
		return err
	}
	for i := range body.Inputs {
		if in := &body.Inputs[i]; in.Name == "projectId" {
			in.Value = v.project
		}
	}
	return v.show("operation", "api", body.Summary, body)
}

var errNoOperation = fault.New(fault.NotFound, "the API has no such operation").WithHint("the reference lists all of them")

// operationPage tells an operation, its form as it begins.
func (c *Console) operationPage(v *visit) (*operationPage, error) {
	d, err := c.reference(v)
	if err != nil {
		return nil, err
	}
	op := d.Operation(v.r.PathValue("operation"))
	if op == nil {
		return nil, errNoOperation
	}
	form, err := d.Form(op)
	return &operationPage{Operation: op, Form: form, Fields: d.Fields(op), Answers: d.Answers(op)}, err
}

// tryOperation asks the API what somebody typed, in their name. What may change
// something is shown first.
func (c *Console) tryOperation(v *visit) error {
	body, err := c.operationPage(v)
	if err != nil {
		return err
	}
	typed := v.r.PostForm
	body.Fill(typed)
	r, err := body.Request()
	if err != nil {
		return v.mistaken(err, "operation", "api", body.Summary, body)
	}
	if body.Changes() && typed.Get("confirmed") != "yes" {
		body.Asks = &attempt{Request: r}
		for name, values := range typed {
			if name != "csrf" && len(values) > 0 {
				body.Asks.Fields = append(body.Asks.Fields, [2]string{name, values[0]})
			}
		}
		return v.show("operation", "api", body.Summary, body)
	}
	if body.Got, err = c.try(v, r); err != nil {
		return v.mistaken(err, "operation", "api", body.Summary, body)
	}
	return v.show("operation", "api", body.Summary, body)
}

// got is what was answered.
type got struct {
	Status      int
	Text, Class string
	Kind, Body  string
	Took        float64 // ms
	Cut         string  // why there is no more of it
}

// How long an answer may take, and how much of it is shown: some never end.
const (
	tryFor   = 5 * time.Second
	tryBytes = 256 << 10
)

func (c *Console) try(v *visit, asked *openapi.Request) (*got, error) {
	ctx, cancel := context.WithTimeout(v.r.Context(), tryFor)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, asked.Method, "http://console.invalid"+asked.URL, strings.NewReader(asked.Body))
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "this is no request")
	}
	r.Header = asked.Header
	began := time.Now()
	res, err := v.api.HTTP.Do(r)
	if errors.Is(err, context.DeadlineExceeded) {
		return &got{Text: "no answer", Class: "warn", Cut: "Nothing was answered within " + strconv.Itoa(int(tryFor.Seconds())) + " s. Whether it was done is to be seen in the audit log."}, nil
	}
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, tryBytes))
	out := &got{Status: res.StatusCode, Text: http.StatusText(res.StatusCode), Class: "good", Kind: res.Header.Get("Content-Type"), Took: float64(time.Since(began).Microseconds()) / 1000}
	if res.StatusCode >= 400 {
		out.Class = "bad"
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		out.Cut = "It goes on; this is what came within " + strconv.Itoa(int(tryFor.Seconds())) + " s."
	case err != nil:
		out.Cut = "The answer was cut off."
	case len(data) == tryBytes:
		out.Cut = "There is more; this is the first of it."
	}
	var pretty bytes.Buffer
	switch {
	case !utf8.Valid(data) && out.Cut == "":
		out.Body = say.Size(int64(len(data))) + " that are no text"
	case json.Indent(&pretty, data, "", "  ") == nil:
		out.Body = pretty.String()
	default:
		out.Body = strings.ToValidUTF8(string(data), "\uFFFD")
	}
	return out, nil
}
