package api

import (
	"context"
	"net/http"
	"time"
)

// Secret is a secret of the platform without its value, which nobody is told.
type Secret struct {
	Name       string    `json:"name"`
	Version    int       `json:"version" doc:"The active one; counts the values that it has had, from 1."`
	Shared     bool      `json:"shared,omitempty" doc:"It is the project's: every function that declares its name and has none of its own gets it."`
	CreateTime time.Time `json:"createTime"`
	UpdateTime time.Time `json:"updateTime" doc:"When it got its value."`
	UpdatedBy  string    `json:"updatedBy,omitempty" doc:"The ID of the key or user who set it."`
	// UpdatedByName is empty where that is of a project that is not the caller's to know.
	UpdatedByName string `json:"updatedByName,omitempty" doc:"What that key or user is called."`
}

// Secrets are the secrets of a function, or those that a project's functions
// share, sorted by name.
type Secrets struct {
	Secrets []Secret `json:"secrets"`
	// Missing are declared by the active version, and have no value.
	Missing   []string   `json:"missing,omitempty" doc:"Of a function: secrets that its active version declares and that have no value."`
	Variables []Variable `json:"variables,omitempty" doc:"The plain settings of its active version, by name; where they were asked for."`
}

// Variable is a plain setting of a version.
type Variable struct {
	Name       string    `json:"name"`
	Value      string    `json:"value"`
	From       string    `json:"from" enum:"manifest,deploy,platform" doc:"manifest: it is written there. deploy: it came with the deploy, from .env or the environment. platform: the platform sets it."`
	Version    int       `json:"version" doc:"With which version it got this value, of the last 50."`
	UpdateTime time.Time `json:"updateTime" doc:"When that was deployed."`
}

// ChangeSecretsRequest sets and removes secrets: all of it happens, or nothing.
type ChangeSecretsRequest struct {
	Set    map[string]string `json:"set,omitempty" doc:"New values by name."`
	Remove []string          `json:"remove,omitempty"`
}

// ChangeSecretsResponse is what became of that.
type ChangeSecretsResponse struct {
	Secrets   []Secret `json:"secrets" doc:"All that there are now."`
	Restarted []string `json:"restarted" doc:"The functions whose workers were replaced, by name: they have the new values."`
	Warnings  []string `json:"warnings"`
}

// RotateKeysResponse is what a rotation of data keys did.
type RotateKeysResponse struct {
	Keys int `json:"keys" doc:"How many data keys were replaced: one of each function that has secrets, and one of what the project shares."`
}

// Secrets lists the secrets of a function, those included that its project
// shares with it; with an empty name all that the project shares.
func (c *Client) Secrets(ctx context.Context, function string) (out Secrets, err error) {
	return out, c.call(ctx, http.MethodGet, c.secrets(function), nil, &out)
}

// Settings lists what Secrets does and the plain settings of the active version.
func (c *Client) Settings(ctx context.Context, function string) (out Secrets, err error) {
	return out, c.call(ctx, http.MethodGet, c.secrets(function)+"?variables=true", nil, &out)
}

// ChangeSecrets sets and removes secrets of a function; with an empty name
// those that the project shares.
func (c *Client) ChangeSecrets(ctx context.Context, function string, in ChangeSecretsRequest) (out ChangeSecretsResponse, err error) {
	return out, c.call(ctx, http.MethodPatch, c.secrets(function), in, &out)
}

// RotateKeys has all secrets of the project sealed under new data keys.
func (c *Client) RotateKeys(ctx context.Context) (out RotateKeysResponse, err error) {
	return out, c.call(ctx, http.MethodPost, c.project("secrets", "rotateKeys"), nil, &out)
}

func (c *Client) secrets(function string) string {
	if function == "" {
		return c.project("secrets")
	}
	return c.project("functions", function, "secrets")
}
