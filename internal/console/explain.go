package console

import (
	"net/http"
	"strings"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/api"
)

func (c *Console) registerExplain() {
	c.page("GET /p/{project}/gateway/explain", c.explain)
	c.page("POST /p/{project}/gateway/explain", c.explain)
}

// explainPage is what the page that explains shows.
type explainPage struct {
	Request, URL, Method, Key, From string
	Methods                         []string
	Keys                            []api.AccessKey
	Asked                           bool
	Explanation                     *api.Explanation
}

func (c *Console) explain(v *visit) error {
	q := v.r.URL.Query()
	if v.r.Method == http.MethodPost { // who types a secret for an ID does not leave it in an address
		q = v.r.PostForm
	}
	body := explainPage{Request: strings.TrimSpace(q.Get("request")), URL: strings.TrimSpace(q.Get("url")), Method: q.Get("method"), Key: string(accesskey.Redact([]byte(strings.TrimSpace(q.Get("key"))))), From: strings.TrimSpace(q.Get("from")), Methods: methods}
	id, err := v.keyID(body.Key)
	if err != nil {
		return err
	}
	known, err := v.api.FindKeys(v.r.Context(), api.KeyQuery{Order: "newest", PageSize: 50})
	if err != nil {
		return err
	}
	body.Keys = known.AccessKeys
	var told api.Explanation
	switch {
	case body.Request != "":
		told, err = v.api.ExplainRequest(v.r.Context(), body.Request)
	case body.URL != "":
		told, err = v.api.Explain(v.r.Context(), api.ExplainRequest{URL: body.URL, Method: body.Method, AccessKeyID: id, From: body.From})
	default:
		return v.show("explain", "gateway/explain", "Explain a request", body)
	}
	if body.Asked = true; err != nil {
		return v.mistaken(err, "explain", "gateway/explain", "Explain a request", body)
	}
	body.Explanation = &told
	return v.show("explain", "gateway/explain", "Explain a request", body)
}

// keyID is the ID of the key that somebody names by it or by the display name. A name
// that no key has is taken for an ID, of which the API says what it thinks.
func (v *visit) keyID(name string) (string, error) {
	if name == "" || accesskey.ValidID(name) {
		return name, nil
	}
	found, err := v.api.FindKeys(v.r.Context(), api.KeyQuery{Query: name[:min(len(name), 100)], PageSize: 1000})
	if err != nil {
		return "", err
	}
	for _, k := range found.AccessKeys {
		if k.DisplayName == name {
			return k.AccessKeyID, nil
		}
	}
	return name, nil
}

// Tag is the class of what became of a request.
func (p explainPage) Tag() string { return outcomeTag(p.Explanation.Outcome) }

func outcomeTag(outcome string) string {
	return map[string]string{"allowed": "good", "refused": "bad", "failed": "warn"}[outcome]
}
