package console

import (
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/fault"
)

func (c *Console) registerAudit() {
	c.page("GET /p/{project}/audit", c.audit)
	c.page("GET /p/{project}/gateway/refusals", c.refusals)
}

// eventsShown is how many events one page has.
const eventsShown = 50

// auditPage is what the page of the audit log shows.
type auditPage struct {
	Query, Since, Until, Outcome, Action, Key, Code, Request string

	Reads       bool // what only reads, too
	Narrow      bool // some of these are set
	More        bool // some of those are that are folded away
	Events      []event
	Next, First string
	JSON        string // the same over the API
}

// event is one decision, ready to be told.
type event struct {
	api.AuditEvent
	Tag     string
	Why     string
	Details []said
}

func (c *Console) audit(v *visit) error {
	q := v.r.URL.Query()
	body := auditPage{Query: strings.TrimSpace(q.Get("q")), Since: q.Get("since"), Until: q.Get("until"), Outcome: q.Get("outcome"), Action: strings.TrimSpace(q.Get("action")), Key: strings.TrimSpace(q.Get("key")), Code: strings.TrimSpace(q.Get("code")), Request: strings.TrimSpace(q.Get("request")), Reads: q.Get("reads") != ""}
	body.More = body.Since+body.Until+body.Action+body.Key+body.Code+body.Request != ""
	body.Narrow = body.More || body.Query+body.Outcome != ""
	ask := api.AuditQuery{Query: body.Query, Outcome: body.Outcome, Action: body.Action, KeyID: body.Key, Code: body.Code, RequestID: body.Request, Changes: !body.Reads && body.Action == "" && body.Request == "", PageSize: eventsShown, PageToken: q.Get("page")}
	var err error
	if ask.Since, err = instant(body.Since); err == nil {
		ask.Until, err = instant(body.Until)
	}
	var events api.AuditEvents
	if err == nil {
		events, err = v.api.Audit(v.r.Context(), ask)
	}
	if err != nil {
		return v.mistaken(err, "audit", "audit", "Audit log", body)
	}
	body.Events = tellEvents(events)
	body.Next, body.First = v.pager("page", events.NextPageToken)
	ask.PageToken, ask.PageSize = "", 1000
	body.JSON = Dir + "/api/v1/projects/" + url.PathEscape(v.project) + "/audit?" + ask.Values().Encode()
	return v.show("audit", "audit", "Audit log", body)
}

// instant is a time as a form's field has it, of UTC; empty: none.
func instant(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, form := range []string{"2006-01-02T15:04", "2006-01-02T15:04:05", "2006-01-02", time.RFC3339} {
		if t, err := time.Parse(form, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fault.New(fault.Invalid, "this is no time").WithHint("write it like 2026-11-01T09:30; times are of UTC")
}

func tellEvents(events api.AuditEvents) (out []event) {
	for _, e := range events.Events {
		told := event{AuditEvent: e, Tag: outcomeTag(e.Outcome), Why: e.Detail["why"]}
		for name, value := range e.Detail {
			told.Details = append(told.Details, said{What: name, Value: value})
		}
		slices.SortFunc(told.Details, func(a, b said) int { return strings.Compare(a.What, b.What) })
		out = append(out, told)
	}
	return out
}

// refusalsPage is what the page of refusals shows.
type refusalsPage struct {
	Query, Code, Key string

	Events      []event
	Next, First string
}

func (c *Console) refusals(v *visit) error {
	q := v.r.URL.Query()
	body := refusalsPage{Query: strings.TrimSpace(q.Get("q")), Code: strings.TrimSpace(q.Get("code")), Key: strings.TrimSpace(q.Get("key"))}
	events, err := v.api.Audit(v.r.Context(), api.AuditQuery{Action: "invoke", Outcome: "refused", Query: body.Query, Code: body.Code, KeyID: body.Key, PageSize: eventsShown, PageToken: q.Get("page")})
	if err != nil {
		return v.mistaken(err, "refusals", "gateway/refusals", "Refusals", body)
	}
	body.Events = tellEvents(events)
	body.Next, body.First = v.pager("page", events.NextPageToken)
	return v.show("refusals", "gateway/refusals", "Refusals", body)
}

// Page is where who caused an event has a page, below [Dir]; empty: they have none, or
// not for who looks.
func (e event) Page() string {
	kind := "keys"
	if e.User() {
		kind = "users"
	}
	if e.AccessKeyName == "" || e.User() && e.Ended() != "" {
		return ""
	}
	return "/p/" + url.PathEscape(e.AccessKeyProjectID) + "/" + kind + "/" + url.PathEscape(e.AccessKeyID)
}

// User reports whether it was a user, and not a key.
func (e event) User() bool { return strings.HasPrefix(e.AccessKeyID, "usr_") }

// Ended says that who caused an event opens nothing any more; empty: they do.
func (e event) Ended() string {
	switch {
	case e.AccessKeyState == "revoked" && e.User():
		return "removed"
	case e.AccessKeyState == "revoked", e.AccessKeyState == "expired":
		return e.AccessKeyState
	}
	return ""
}

// From is the address that a request came from.
func (e event) From() string {
	host, _, err := net.SplitHostPort(e.Remote)
	if err != nil {
		return e.Remote
	}
	return host
}

// Step is the step of the gateway that refused; empty: it is not known.
func (e event) Step() string {
	names := [...]string{"identify", "route", "authenticate", "authorise", "limit", "acquire", "invoke", "account"}
	if n := e.Detail["step"]; len(n) == 1 && n[0] >= '1' && n[0] <= '8' {
		return n + " " + names[n[0]-'1']
	}
	return ""
}
