// Package api is the control plane's API as Go types, and its client.
//
// The types are what the OpenAPI document is made from. Times are RFC 3339 in
// UTC. [Client] is what the command line uses: it gets itself an access token
// and shows that; failures come back as faults with the code and hint that the
// server gave.
package api

import "time"

// Function is a function and its active deployment.
type Function struct {
	ID         string     `json:"id" doc:"Stable over deploys."`
	Name       string     `json:"name"`
	Slug       string     `json:"slug" doc:"The name in its address, unique on the installation."`
	ProjectID  string     `json:"projectId"`
	URLs       []string   `json:"urls" doc:"Where it answers; empty of a private function."`
	Visibility string     `json:"visibility,omitempty" enum:"private" doc:"private: only functions of its project may call it."`
	Deployment Deployment `json:"deployment" doc:"The active one."`
	Routes     []Route    `json:"routes" doc:"Every address and how it is guarded."`
	Candidate  *Version   `json:"candidate,omitempty" doc:"The version that gets a part of the calls beside the active one; or the last one, if the platform ended it."`
	Status     Status     `json:"status"`
	State      string     `json:"state" enum:"Queued,Deploying,Running,Stopped,Failed" doc:"Running: it answers, also where no worker runs at the moment. Stopped: its policy shuts it. Failed: its workers do not start, or no deploy has succeeded. Queued and Deploying: the first deploy is under way."`
	Attempt    *Attempt   `json:"attempt,omitempty" doc:"The deploy that is under way on the node that was asked, or the last one if it failed."`
	CreateTime time.Time  `json:"createTime"`
	UpdateTime time.Time  `json:"updateTime"`
}

// Attempt is a deploy that is under way, or that failed.
type Attempt struct {
	ID        string     `json:"id,omitempty" doc:"What the caller called it."`
	Artefact  string     `json:"artefact"`
	State     string     `json:"state" enum:"Queued,Deploying,Failed"`
	Error     string     `json:"error,omitempty"`
	Code      string     `json:"code,omitempty" doc:"The problem's code."`
	Hint      string     `json:"hint,omitempty"`
	StartTime time.Time  `json:"startTime"`
	EndTime   *time.Time `json:"endTime,omitempty"`
}

// Deployment is one version of a function.
type Deployment struct {
	ID         string    `json:"id"`
	Number     int       `json:"number" doc:"Counts the deployments of the function, from 1; 0: there is none yet."`
	Artefact   string    `json:"artefact" doc:"SHA-256 of the artefact."`
	Runtime    string    `json:"runtime"`
	CreateTime time.Time `json:"createTime"`
}

// Route is one address of a function.
type Route struct {
	Path    string `json:"path" doc:"Below the function's address."`
	Handler string `json:"handler" doc:"The export that runs, or 'built in'."`
	Guard   string `json:"guard" doc:"'access key', 'open' or 'signature'."`
	Method  string `json:"method,omitempty" doc:"Of a route of the manifest: its only method; absent: any."`
	Group   string `json:"group,omitempty" doc:"Of a route of the manifest: the group of keys that it is for; absent: that named like the function."`
	Asks    string `json:"asks,omitempty" doc:"In words, beside the guard: how a credential is shown, from where, how often, and whether pages of other origins may call."`
}

// Status is how a function's workers do on the node that was asked.
type Status struct {
	State    string `json:"state" doc:"idle, starting, ready, backing off or circuit open."`
	Workers  int    `json:"workers"`
	InFlight int    `json:"inFlight"`
	Waiting  int    `json:"waiting"`
	Failures int    `json:"failures" doc:"Failed starts in a row."`
	LastErr  string `json:"lastError,omitempty"`
}

// Functions is one page of functions.
type Functions struct {
	Functions     []Function `json:"functions"`
	NextPageToken string     `json:"nextPageToken" doc:"Empty on the last page."`
	Total         *Total     `json:"total,omitempty" doc:"With withTotal."`
}

// FunctionQuery says which functions are wanted; a zero field takes the
// server's default.
type FunctionQuery struct {
	Query     string // a part of the name, or the beginning of the ID
	WithTotal bool
	PageSize  int
	PageToken string
}

// DeployRequest asks for an uploaded artefact to be made active.
type DeployRequest struct {
	Artefact string `json:"artefact" pattern:"^[0-9a-f]{64}$" doc:"SHA-256 of an artefact that was uploaded."`
	Force    bool   `json:"force,omitempty" doc:"Deploy it again even if it is the active one."`
	// Variables are what .env says beside the manifest; they win over it.
	Variables map[string]string `json:"variables,omitempty" doc:"Plain settings that the manifest does not have, or that differ from it."`
	Secrets   map[string]string `json:"secrets,omitempty" doc:"Values to set in the same moment as the deploy; those that are left out stay as they are."`
	Declares  []string          `json:"declares,omitempty" doc:"Names of the secrets that the function needs, beside those that its manifest names."`
	Percent   int               `json:"percent,omitempty" minimum:"0" maximum:"100" doc:"Of the calls that it gets at first, beside the active one; absent: all."`
	NoWait    bool              `json:"noWait,omitempty" doc:"Answer at once; the status of the function tells what becomes of it."`
	Attempt   string            `json:"attempt,omitempty" maxLength:"64" pattern:"^[0-9A-Za-z_-]*$" doc:"A name of the caller's for this deploy: asked for again by the same name, it is done once."`
}

// DeployResponse is what a deploy did.
type DeployResponse struct {
	Function Function `json:"function"`
	Routes   []Route  `json:"routes"`
	Warnings []string `json:"warnings"`
	Reused   bool     `json:"reused" doc:"The very same artefact was active already; nothing was done."`
	// RestoredFrom and Ended are of a promote or a roll-back.
	RestoredFrom int `json:"restoredFrom,omitempty" doc:"The deployment is an earlier version again: that one's number."`
	Ended        int `json:"ended,omitempty" doc:"The number of the candidate that was ended."`
}

// WhoAmI is whose credential was shown.
type WhoAmI struct {
	ProjectID string   `json:"projectId"`
	KeyID     string   `json:"accessKeyId" doc:"In a session of the console, a user's ID where it is one of theirs."`
	Scopes    []string `json:"scopes"`
}
