package console

import (
	"net/url"
	"slices"
	"strings"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/field"
	"postern.dev/postern/internal/funclog"
)

func (c *Console) registerRequests() {
	const at = "/p/{project}/functions/{name}/requests"
	c.page("GET "+at, c.requests)
	c.page("GET "+at+"/new", c.newRequest)
	c.page("POST "+at+"/new", c.sendRequest)
	c.page("GET "+at+"/{id}", c.request)
	c.page("POST "+at+"/{id}", c.sendRequest)
}

// listedRequests is how many calls a page has before others come by the stream.
const listedRequests = 100

func (c *Console) requests(v *visit) error {
	p, err := v.logOf("/requests", "calls", api.LogQuery{Limit: listedRequests, Calls: true})
	if err != nil {
		return err
	}
	slices.Reverse(p.Entries)
	v.script = "logs.js"
	return v.show("requests", "functions", "Requests of "+p.Name, p)
}

// requestPage is one call, or none, with a form that sends one and the answer to
// what was sent.
type requestPage struct {
	Name    string
	ID      string // empty: of no call
	Call    *api.Invocation
	Version int // that answered; 0: it is not known
	Lines   []api.LogEntry
	Cut     bool // there are more lines
	Form    sendForm
	Answer  *api.SentResponse
	Text    string // of the answer's body, as it is shown
}

// sendForm is what the form of a request has in its fields.
type sendForm struct {
	Method, Path, Headers, Body, As string
	Keyless                         bool // who asks has no access key to send it with
}

// methods are those that the gateway serves.
var methods = []string{"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"}

// Methods is what the form offers.
func (sendForm) Methods() []string { return methods }

var errNotKept = fault.New(fault.NotFound, "this request is not in the function's log").WithHint("calls are kept while somebody looks at the function's requests or logs, and those that fail for some time in any case")

// callOf is the page of a call, read from the log.
func (v *visit) callOf(id string) (p requestPage, err error) {
	p = requestPage{Name: v.r.PathValue("name"), ID: id, Form: sendForm{Method: "GET", Path: "/", As: api.AsCaller, Keyless: v.session.KeyID == ""}}
	if p.Form.Keyless {
		p.Form.As = api.AsFunction
	}
	f, err := v.api.Function(v.r.Context(), p.Name)
	if err != nil || id == "" {
		return p, err
	}
	list, err := v.api.Logs(v.r.Context(), p.Name, api.LogQuery{RequestID: cutTo(id, 64), Invocations: true, Limit: 500})
	if err != nil {
		return p, err
	}
	p.Cut = list.More
	for _, e := range list.Entries {
		if e.Invocation == nil {
			p.Lines = append(p.Lines, e)
		} else {
			p.Call, p.Version = e.Invocation, v.versionOf(p.Name, e.DeploymentID)
		}
	}
	if p.Call == nil && len(p.Lines) == 0 {
		return p, errNotKept
	}
	if p.Call != nil {
		p.Form.fill(p.Call, f)
	}
	return p, nil
}

// versionOf is the number of a deployment of a function, if it is among the last.
func (v *visit) versionOf(name, deploymentID string) int {
	list, err := v.api.Versions(v.r.Context(), name)
	if err != nil {
		return 0
	}
	i := slices.IndexFunc(list.Versions, func(one api.Version) bool { return one.ID == deploymentID })
	if i < 0 {
		return 0
	}
	return list.Versions[i].Number
}

// fill puts a call into the form: its path below the function's address, and of its
// header fields those that would be sent.
func (s *sendForm) fill(c *api.Invocation, f api.Function) {
	s.Method, s.Path = c.Request.Method, ownPath(c.Request.URL, f)
	var b strings.Builder
	for _, name := range fieldNames(c.Request.Headers) {
		value := c.Request.Headers[name]
		if value != funclog.Removed && !field.Stripped(name, nil) && !slices.Contains([]string{"content-length", "x-request-id", "accept-encoding", "traceparent", "tracestate"}, name) {
			b.WriteString(name + ": " + value + "\n")
		}
	}
	s.Headers = b.String()
}

// ownPath is the path and query of a call below the function's address, as they
// stand in a request. The log has the path decoded.
func ownPath(address string, f api.Function) string {
	_, rest, _ := strings.Cut(address, "://")
	_, path, _ := strings.Cut(rest, "/")
	path, query, asked := strings.Cut("/"+path, "?")
	for _, label := range []string{f.Slug, f.ID} {
		if below, ok := strings.CutPrefix(path+"/", "/fn/"+label+"/"); ok {
			path = "/" + strings.TrimSuffix(below, "/")
		}
	}
	path = (&url.URL{Path: path}).EscapedPath()
	if asked {
		path += "?" + query
	}
	return path
}

func fieldNames(h map[string]string) []string {
	names := make([]string, 0, len(h))
	for name := range h {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (c *Console) request(v *visit) error {
	p, err := v.callOf(v.r.PathValue("id"))
	if err != nil {
		return err
	}
	return v.show("request", "functions", "Request "+p.ID, p)
}

func (c *Console) newRequest(v *visit) error {
	p, err := v.callOf("")
	if err != nil {
		return err
	}
	return v.show("request", "functions", "Send a request to "+p.Name, p)
}

// sendRequest sends what the form says, and shows the answer on the same page: it
// is kept nowhere.
func (c *Console) sendRequest(v *visit) error {
	p, err := v.callOf(v.r.PathValue("id"))
	if err != nil {
		return err
	}
	title := "Send a request to " + p.Name
	if p.ID != "" {
		title = "Request " + p.ID
	}
	form := v.r.PostForm
	p.Form.Method, p.Form.Path, p.Form.Headers, p.Form.As = form.Get("method"), strings.TrimSpace(form.Get("path")), form.Get("headers"), form.Get("as")
	p.Form.Body = strings.ReplaceAll(form.Get("body"), "\r\n", "\n")
	headers, err := headerFields(p.Form.Headers)
	var sent api.SentResponse
	if err == nil {
		sent, err = v.api.SendRequest(v.r.Context(), p.Name, api.SendRequest{Method: p.Form.Method, Path: p.Form.Path, Headers: headers, Body: p.Form.Body, As: p.Form.As})
	}
	if err != nil {
		return v.mistaken(err, "request", "functions", title, p)
	}
	p.Answer, p.Text = &sent, cutTo(sent.Body, shownBody)
	return v.show("request", "functions", title, p)
}

// shownBody is how much of an answer's body a page shows.
const shownBody = 64 << 10

// headerFields reads header fields, one a line.
func headerFields(text string) (map[string]string, error) {
	out := map[string]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		name, value, ok := strings.Cut(line, ":")
		switch {
		case line == "":
		case !ok:
			return nil, fault.New(fault.Invalid, "one of the header fields has no colon").WithHint("write each on a line of its own, as Name: value")
		default:
			if before, twice := out[name]; twice {
				value = before + ", " + strings.TrimSpace(value)
			}
			out[name] = strings.TrimSpace(value)
		}
	}
	return out, nil
}
