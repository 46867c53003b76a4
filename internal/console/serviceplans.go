package console

import (
	"net/url"
	"strings"
	"time"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/api"
)

func (c *Console) registerServicePlans() {
	c.page("GET /p/{project}/service-plans", c.servicePlans)
	c.page("GET /p/{project}/service-plans/new", c.newServicePlan)
	c.page("POST /p/{project}/service-plans/new", c.makeServicePlan)
}

// plansPage is what the page of service plans shows.
type plansPage struct {
	Keys        []api.AccessKey
	Next, First string
	New         string // the ID of the key that was just made
}

func (c *Console) servicePlans(v *visit) error {
	q := v.r.URL.Query()
	list, err := v.api.FindKeys(v.r.Context(), api.KeyQuery{Plans: true, Order: "newest", PageSize: keysListed, PageToken: q.Get("page")})
	if err != nil {
		return err
	}
	body := plansPage{Keys: list.AccessKeys, New: q.Get("new")}
	body.Next, body.First = v.pager("page", list.NextPageToken)
	return v.show("service-plans", "service-plans", "Service plans", body)
}

func (c *Console) newServicePlan(v *visit) error {
	return v.show("service-plan-new", "service-plans", "New API token", keyForm{ID: accesskey.NewID(time.Now()), Values: url.Values{}})
}

func (c *Console) makeServicePlan(v *visit) error {
	form := keyForm{ID: v.r.PostForm.Get("id"), Values: v.r.PostForm}
	// Without a plan the API would make a key of another kind, which opens much more.
	plan := strings.TrimSpace(form.Get("servicePlanId"))
	if plan == "" {
		return v.wrongKey(errNoPlan, "service-plan-new", "New API token", form)
	}
	made, err := v.api.CreateKey(v.r.Context(), api.CreateKeyRequest{AccessKeyID: form.ID, DisplayName: form.Get("displayName"), ServicePlanID: plan})
	if err != nil {
		return v.wrongKey(err, "service-plan-new", "New API token", form)
	}
	return v.showSecret(made.AccessKey, made.Secret, false, false)
}
