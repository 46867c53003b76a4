package console

import (
	"errors"
	"strings"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/fault"
)

func (c *Console) registerSettings() { c.page("GET /p/{project}/settings", c.settings) }

// settingsPage is what the page of settings shows.
type settingsPage struct {
	Policy  int // that is in force
	Open    int // routes that everybody may call
	Server  *api.ServerInfo
	Denied  *failure // why there is nothing of the server
	Query   string
	All     bool // what nobody set, too
	Set     int  // settings that somebody set
	Listed  []api.ServerSetting
	Project string
}

func (c *Console) settings(v *visit) error {
	q := v.r.URL.Query()
	body := settingsPage{Query: q.Get("q"), All: q.Get("all") != "", Project: v.project}
	table, err := v.api.GatewayRoutes(v.r.Context(), api.RouteQuery{PageSize: 1})
	if err != nil {
		return err
	}
	body.Policy, body.Open = table.Number, table.PublicCount
	info, err := v.api.ServerInfo(v.r.Context())
	if f, ok := errors.AsType[*fault.Error](err); ok && f.Kind == fault.Denied { // of a subproject, whose server it is not
		body.Denied = v.failureOf(err)
		return v.show("settings", "settings", "Settings", body)
	}
	if err != nil {
		return err
	}
	body.Server = &info
	for _, s := range info.Settings {
		set := s.Source != "default"
		if set {
			body.Set++
		}
		if (set || body.All || body.Query != "") && strings.Contains(strings.ToLower(s.Key+" "+s.Usage+" "+s.Value), strings.ToLower(strings.TrimSpace(body.Query))) {
			body.Listed = append(body.Listed, s)
		}
	}
	return v.show("settings", "settings", "Settings", body)
}
