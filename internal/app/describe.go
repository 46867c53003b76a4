package app

import (
	"context"
	"strings"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/config"
)

// describe tells of this node, to those to whom it belongs.
func (s *Server) describe(ctx context.Context) api.ServerInfo {
	h := s.health.look(ctx)
	out := api.ServerInfo{Version: s.version, StartTime: s.began.UTC(), Issuer: s.Issuer(), GatewayURL: s.GatewayURL(), Database: "SQLite", Ready: h.Ready, Phase: h.Phase, StoreAway: h.Store == "away",
		Snapshot: api.SnapshotInfo{Loaded: h.Snapshot == "loaded", Sequence: h.Sequence, StaleSince: h.StaleSince}, Degraded: []api.DegradedPart{}, Settings: []api.ServerSetting{}}
	if strings.HasPrefix(s.cfg.Database, "postgres") {
		out.Database = "PostgreSQL"
	}
	out.Listeners = []api.Listener{
		{Name: "gateway", Address: s.gatewayLn.Addr().String(), TLS: s.tls != nil},
		{Name: "control", Address: s.controlLn.Addr().String(), TLS: s.controlTLS() != nil}}
	for _, t := range h.Degraded {
		out.Degraded = append(out.Degraded, api.DegradedPart{Part: t.Part, Effect: t.Effect, Since: t.Since})
	}
	fields := map[string]config.Field{}
	for _, f := range config.Fields() {
		fields[f.Key] = f
	}
	for _, row := range s.cfg.Settings() {
		f := fields[row.Key]
		if f.Part != config.Serving {
			continue
		}
		setting := api.ServerSetting{Key: row.Key, Value: row.Value, Source: string(s.cfg.Origin(row.Key).Source), Origin: row.Origin, Usage: f.Usage, Variable: f.Variable}
		if f.Flag {
			setting.Flag = "--" + row.Key
		}
		out.Settings = append(out.Settings, setting)
	}
	return out
}
