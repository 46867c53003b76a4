package api

import (
	"context"
	"net/http"
	"time"
)

// ServerInfo is how one node of the installation is set up, and how it does.
type ServerInfo struct {
	Version    string          `json:"version"`
	StartTime  time.Time       `json:"startTime"`
	Issuer     string          `json:"issuer" doc:"The URL of the control plane, which its tokens name."`
	GatewayURL string          `json:"gatewayUrl" doc:"Where functions are called."`
	Listeners  []Listener      `json:"listeners"`
	Database   string          `json:"database" doc:"SQLite or PostgreSQL."`
	Ready      bool            `json:"ready" doc:"Calls are served."`
	Phase      string          `json:"phase" doc:"starting, serving or stopping."`
	StoreAway  bool            `json:"storeAway" doc:"The database does not answer: calls are served from memory, and nothing can be changed."`
	Snapshot   SnapshotInfo    `json:"snapshot"`
	Degraded   []DegradedPart  `json:"degraded" doc:"Parts that do not do all that they should."`
	Settings   []ServerSetting `json:"settings"`
}

// Listener is an address at which a node answers.
type Listener struct {
	Name    string `json:"name" doc:"gateway or control."`
	Address string `json:"address"`
	TLS     bool   `json:"tls"`
}

// SnapshotInfo is what the gateway of a node knows.
type SnapshotInfo struct {
	Loaded     bool       `json:"loaded"`
	Sequence   int64      `json:"sequence" doc:"Of the last change that it has."`
	StaleSince *time.Time `json:"staleSince,omitempty" doc:"When it was last known to be current; absent while it is."`
}

// DegradedPart is a part of a node that does not do all that it should.
type DegradedPart struct {
	Part   string     `json:"part"`
	Effect string     `json:"effect"`
	Since  *time.Time `json:"since,omitempty"`
}

// ServerSetting is one setting of a node, secrets redacted.
type ServerSetting struct {
	Key      string `json:"key"`
	Value    string `json:"value"`
	Source   string `json:"source" enum:"default,profile,file,environment,flag"`
	Origin   string `json:"origin" doc:"The source, and where in it: a flag, a variable, a file."`
	Usage    string `json:"usage"`
	Variable string `json:"variable" doc:"The variable that sets it."`
	Flag     string `json:"flag,omitempty" doc:"The flag of postern serve that sets it; absent: it is a secret."`
}

// ServerInfo returns how the node that is asked is set up.
func (c *Client) ServerInfo(ctx context.Context) (out ServerInfo, err error) {
	return out, c.call(ctx, http.MethodGet, "/v1/server", nil, &out)
}
