package console

import (
	"postern.dev/postern/internal/api"
)

func (c *Console) registerLimits() { c.page("GET /p/{project}/gateway/limits", c.limits) }

// limitsPage is what the page of limits shows.
type limitsPage struct {
	Rates       []rateRow
	Keys        []keyLimit
	Next, First string
}

// rateRow is a rate; Left is what may come now of one that all callers share.
type rateRow struct {
	api.RateInForce
	Shared    bool
	Left, Low int64
	MoreThan  int // routes beyond those that are named
}

// keyLimit is a key with what is left of its limits.
type keyLimit struct {
	api.LimitedKey
	RateLeft, QuotaLeft   int64
	RateKnown, QuotaKnown bool
}

// routesNamed is how many of the routes that share a rate are named.
const routesNamed = 8

func (c *Console) limits(v *visit) error {
	l, err := v.api.GatewayLimits(v.r.Context(), v.r.URL.Query().Get("keys"))
	if err != nil {
		return err
	}
	var body limitsPage
	body.Next, body.First = v.pager("keys", l.NextPageToken)
	for _, r := range l.Rates {
		row := rateRow{RateInForce: r, Shared: r.Left != nil, Low: int64(r.AtOnce / 5)}
		if row.Shared {
			row.Left = *r.Left
		}
		if n := len(r.Routes); n > routesNamed {
			row.Routes, row.MoreThan = r.Routes[:routesNamed], n-routesNamed
		}
		body.Rates = append(body.Rates, row)
	}
	for _, k := range l.Keys {
		row := keyLimit{LimitedKey: k, RateKnown: k.RateLeft != nil, QuotaKnown: k.QuotaLeft != nil}
		if row.RateKnown {
			row.RateLeft = *k.RateLeft
		}
		if row.QuotaKnown {
			row.QuotaLeft = *k.QuotaLeft
		}
		body.Keys = append(body.Keys, row)
	}
	return v.show("limits", "gateway/limits", "Limits", body)
}
