package console

import (
	"strconv"
	"strings"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/fault"
)

func (c *Console) registerPolicy() {
	c.page("GET /p/{project}/gateway/policy", c.policy)
	c.page("POST /p/{project}/gateway/policy", c.changePolicy)
	c.page("GET /p/{project}/gateway/policy/{number}", c.earlierPolicy)
	c.page("GET /p/{project}/gateway/diff", c.diffPolicies)
}

// policyPage is what the page of the policy shows.
type policyPage struct {
	api.GatewayPolicy        // in force
	Text              string // of the form
	Restores          int    // the number that the form begins with; 0: that in force
	History           []applied
	Next, First       string
	Would             *api.AppliedPolicy // what applying the text would do; nil: nobody asked
	Changes           []changed
}

// applied is a policy of the history, and the number before it.
type applied struct {
	api.GatewayPolicy
	Before int
}

// changed is what a document says otherwise of one thing.
type changed struct {
	What string
	Rows []api.PolicyChange
}

func (c *Console) policy(v *visit) error {
	q := v.r.URL.Query()
	body, err := v.policyInForce()
	if err != nil {
		return err
	}
	body.Text = body.Document
	if n, _ := strconv.Atoi(q.Get("restore")); n > 0 {
		earlier, err := v.api.GatewayPolicy(v.r.Context(), n, false)
		if err != nil {
			return err
		}
		body.Text, body.Restores = earlier.Document, n
	}
	return v.show("policy", "gateway/policy", "Policy", body)
}

// policyInForce is the page without a form's text.
func (v *visit) policyInForce() (body policyPage, err error) {
	if body.GatewayPolicy, err = v.api.GatewayPolicy(v.r.Context(), 0, false); err != nil {
		return body, err
	}
	history, err := v.api.GatewayHistory(v.r.Context(), v.r.URL.Query().Get("before"), 20)
	if err != nil {
		return body, err
	}
	for _, p := range history.Policies {
		body.History = append(body.History, applied{p, p.Number - 1})
	}
	body.Next, body.First = v.pager("before", history.NextPageToken)
	return body, nil
}

// changePolicy shows what a document would change, and once that was seen applies it:
// against the number that was in force when it was shown.
func (c *Console) changePolicy(v *visit) error {
	text := strings.ReplaceAll(v.r.PostForm.Get("document"), "\r\n", "\n") // as forms send lines
	number, err := strconv.Atoi(v.r.PostForm.Get("number"))
	if err != nil {
		return fault.New(fault.Invalid, "the form has no number of a policy").WithHint("load the page again")
	}
	apply := v.r.PostForm.Get("step") == "apply"
	would, err := v.api.ApplyPolicy(v.r.Context(), api.ApplyPolicyRequest{Document: text, ExpectNumber: &number}, !apply)
	if err == nil && apply {
		v.said(v.in("gateway/policy"), "policy-applied")
		return nil
	}
	body, other := v.policyInForce()
	if other != nil {
		return other
	}
	if body.Text = string(accesskey.Redact([]byte(text))); err != nil { // a secret in it is why, perhaps
		return v.mistaken(err, "policy", "gateway/policy", "Policy", body)
	}
	body.Text, body.Would, body.Changes = text, &would, byThing(would.Changes)
	return v.show("policy", "gateway/policy", "Policy", body)
}

// byThing puts changes of one thing together.
func byThing(list []api.PolicyChange) (out []changed) {
	for _, c := range list {
		if n := len(out); n == 0 || out[n-1].What != c.What {
			out = append(out, changed{What: c.What})
		}
		out[len(out)-1].Rows = append(out[len(out)-1].Rows, c)
	}
	return out
}

// numberPage is what the page of an earlier policy shows.
type numberPage struct {
	api.GatewayPolicy
	Current int
}

func (c *Console) earlierPolicy(v *visit) error {
	n, err := strconv.Atoi(v.r.PathValue("number"))
	if err != nil || n < 1 {
		return fault.New(fault.NotFound, "there is no policy of this number").WithHint("the page of the policy lists them")
	}
	p, err := v.api.GatewayPolicy(v.r.Context(), n, false)
	if err != nil {
		return err
	}
	now, err := v.api.GatewayPolicy(v.r.Context(), 0, false)
	if err != nil {
		return err
	}
	return v.show("policy-number", "gateway/policy", "Policy "+strconv.Itoa(n), numberPage{p, now.Number})
}

// diffPage is what the page that compares two policies shows.
type diffPage struct {
	Before, After string
	Asked         bool
	Changes       []changed
}

func (c *Console) diffPolicies(v *visit) error {
	q := v.r.URL.Query()
	body := diffPage{Before: q.Get("before"), After: q.Get("after"), Asked: q.Get("after") != ""}
	if !body.Asked {
		return v.show("policy-diff", "gateway/policy", "Compare policies", body)
	}
	before, err := strconv.Atoi("0" + body.Before)
	after, other := strconv.Atoi(body.After)
	if err != nil || other != nil {
		return v.mistaken(fault.New(fault.Invalid, "both must be numbers of policies").WithHint("the page of the policy lists them"), "policy-diff", "gateway/policy", "Compare policies", diffPage{Before: body.Before, After: body.After})
	}
	diff, err := v.api.GatewayDiff(v.r.Context(), before, after)
	if err != nil {
		return v.mistaken(err, "policy-diff", "gateway/policy", "Compare policies", diffPage{Before: body.Before, After: body.After})
	}
	body.Changes = byThing(diff.Changes)
	return v.show("policy-diff", "gateway/policy", "Compare policies", body)
}
