package console

import (
	"strings"

	"postern.dev/postern/internal/api"
)

func (c *Console) registerExplain() { c.page("GET /p/{project}/gateway/explain", c.explain) }

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
	body := explainPage{Request: strings.TrimSpace(q.Get("request")), URL: strings.TrimSpace(q.Get("url")), Method: q.Get("method"), Key: strings.TrimSpace(q.Get("key")), From: strings.TrimSpace(q.Get("from")),
		Methods: []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}}
	keys, err := v.api.Keys(v.r.Context(), "", false)
	if err != nil {
		return err
	}
	body.Keys = keys.AccessKeys[:min(len(keys.AccessKeys), 100)]
	var told api.Explanation
	switch {
	case body.Request != "":
		told, err = v.api.ExplainRequest(v.r.Context(), body.Request)
	case body.URL != "":
		told, err = v.api.Explain(v.r.Context(), api.ExplainRequest{URL: body.URL, Method: body.Method, AccessKeyID: idOf(body.Key, keys.AccessKeys), From: body.From})
	default:
		return v.show("explain", "gateway/explain", "Explain a request", body)
	}
	if body.Asked = true; err != nil {
		return v.mistaken(err, "explain", "gateway/explain", "Explain a request", body)
	}
	body.Explanation = &told
	return v.show("explain", "gateway/explain", "Explain a request", body)
}

// idOf is the ID of the key that somebody names by it or by the display name.
func idOf(key string, keys []api.AccessKey) string {
	for _, k := range keys {
		if k.DisplayName == key {
			return k.AccessKeyID
		}
	}
	return key
}

// Tag is the class of what became of a request.
func (p explainPage) Tag() string { return outcomeTag(p.Explanation.Outcome) }

func outcomeTag(outcome string) string {
	return map[string]string{"allowed": "good", "refused": "bad", "failed": "warn"}[outcome]
}
