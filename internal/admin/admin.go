// Package admin is the control plane: the JSON API under /v1 and its OpenAPI
// document, made from the types of package api.
//
// Every operation passes one middleware that authenticates and authorises
// before its input is read (guard.go), and is recorded with its outcome. The
// package holds no state and decides nothing: package deploy and the store do.
package admin

import (
	"context"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/audit"
	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/deploy"
	"postern.dev/postern/internal/feed"
	"postern.dev/postern/internal/funclog"
	"postern.dev/postern/internal/limit"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/supervisor"
	"postern.dev/postern/internal/traffic"
	"postern.dev/postern/internal/tunnel"
)

// Store is what the API reads and writes by itself. *store.DB is one.
type Store interface {
	Functions
	Keys
	KeyChanges
	Projects
	ProjectChanges
	Policies
	Events
	Usages
	Secrets
	Users
	Names
}

// Functions is the reading of functions.
type Functions interface {
	Function(ctx context.Context, projectID, name string) (platform.Function, error)
	FindFunctions(ctx context.Context, projectID, text, after string, limit int) ([]platform.ListedFunction, error)
	CountFunctions(ctx context.Context, projectID, text string, most int) (int, error)
	FunctionByID(ctx context.Context, projectID, id string) (platform.Function, error)
	Deployment(ctx context.Context, id string) (platform.Deployment, error)
	Deployments(ctx context.Context, functionID string, limit int) ([]platform.Deployment, error)
	// Version is a deployment of a function by its number.
	Version(ctx context.Context, functionID string, number int) (platform.Deployment, error)
}

// Keys is the reading of access keys.
type Keys interface {
	Key(ctx context.Context, projectID, id string) (platform.AccessKey, error)
	Keys(ctx context.Context, projectID, after string, limit int, functions bool) ([]platform.AccessKey, error)
	FindKeys(ctx context.Context, projectID string, q platform.KeyQuery) ([]platform.AccessKey, error)
	CountKeys(ctx context.Context, projectID string, q platform.KeyQuery, most int) (int, error)
}

// KeyChanges is the making, altering and ending of access keys.
type KeyChanges interface {
	CreateKey(ctx context.Context, k platform.AccessKey) (seq int64, err error)
	UpdateKey(ctx context.Context, projectID, id string, at time.Time, change func(*platform.AccessKey) error) (k platform.AccessKey, seq int64, err error)
	RevokeKey(ctx context.Context, projectID, id string, at time.Time) (seq int64, err error)
}

// Projects is the reading of projects.
type Projects interface {
	Project(ctx context.Context, id string) (platform.Project, error)
	Subprojects(ctx context.Context, parentID, after string, limit int, deleted bool) ([]platform.Project, error)
}

// ProjectChanges is the making, altering and ending of subprojects.
type ProjectChanges interface {
	CreateProject(ctx context.Context, p platform.Project) error
	UpdateProject(ctx context.Context, id string, at time.Time, change func(*platform.Project) error) (platform.Project, error)
	DeleteSubproject(ctx context.Context, id string, at time.Time) (seq int64, err error)
}

// Deployer deploys and deletes functions. *deploy.Deployer is one.
type Deployer interface {
	Shifter
	Deploy(ctx context.Context, in deploy.Request) (deploy.Result, error)
	// Start deploys behind the caller's back; done is told what became of it.
	Start(ctx context.Context, in deploy.Request, done func(deploy.Result, error)) error
	Delete(ctx context.Context, projectID, name string) (platform.Function, error)
	SecretChanges
	// Attempts are the deploys under way or failed last, by function.
	Attempts(projectID string) map[string]deploy.Attempt
}

// Options are what the API works with; all of them are needed.
type Options struct {
	Version   string
	Store     Store
	Deployer  Deployer
	Artefacts Artefacts
	// Databases and Storage are what functions keep.
	Databases Databases
	Storage   Storage
	Uploads   Uploads
	Logs      *funclog.Book
	// Traffic knows what functions did lately; Feed tells of changes. nil: nothing.
	Traffic *traffic.Book
	Feed    *feed.Feed
	// Stopping is closed when what goes on without end has to end; nil: never.
	Stopping <-chan struct{}
	// Auth recognises callers; Issuer is this control plane's URL, which their
	// tokens must be for.
	Auth   *auth.Authenticator
	Issuer string
	// Uses is told which keys were let in; nil tells nobody.
	Uses *auth.Uses
	// Directory returns the live keys, as the gateway knows them.
	Directory func() *auth.Directory
	// Applied waits until the gateway of this process knows of a change.
	Applied func(ctx context.Context, seq int64) error
	// Status tells how the workers of a deployment do.
	Status func(deploymentID string) supervisor.Status
	// URLs are the addresses of a function with a slug.
	URLs func(slug string) []string
	// Audit takes what was decided; nil keeps none.
	Audit *audit.Recorder
	// Explainer knows what became of requests, and what would.
	Explainer Explainer
	// Server describes the node that is asked.
	Server func(context.Context) api.ServerInfo
	// Ring is the keys that sign tokens.
	Ring Ring
	// BasicRate and BasicBurst bound how often one key may show its bare
	// secret: so many calls a second, so many at once.
	BasicRate, BasicBurst int
	// Doors take requests that are sent to functions for who asks.
	Doors Doors
	// Accounts makes users of the console.
	Accounts Accounts
	// Tunnels opens tunnels.
	Tunnels *tunnel.Hub
	Log     *slog.Logger
}

type service struct {
	o     Options
	api   huma.API
	bare  *limit.Book[string] // calls with a bare secret, by key ID
	open  places              // streams, of logs and of what changes
	sends places              // requests that are being sent
	kept  atomic.Pointer[keptTable]
}

// bareKeys is how many keys that call at the same time have a rate of their
// own; it bounds the memory at some megabytes.
const bareKeys = 1 << 16

// New returns the handler of /v1 and of the OpenAPI document, and the document.
func New(o Options) (http.Handler, *huma.OpenAPI) {
	mux := http.NewServeMux()
	config := huma.DefaultConfig("Postern control plane", o.Version)
	config.DocsPath = "" // its page loads scripts from elsewhere
	config.CreateHooks = nil
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"basic":  {Type: "http", Scheme: "basic", Description: "Key ID and key secret of an access key with the scope control."},
		"apiKey": {Type: "apiKey", In: "header", Name: "X-API-Key", Description: "The key secret."},
		"bearer": {Type: "http", Scheme: "bearer", BearerFormat: "JWT", Description: "An access token of such a key, from /oauth2/token."},
	}
	config.Security = []map[string][]string{{"basic": {}}, {"apiKey": {}}, {"bearer": {}}}
	config.Transformers = append(config.Transformers, problemOf)
	if o.Uses == nil {
		o.Uses = new(auth.Uses)
	}
	s := &service{o: o, api: humago.New(mux, config), bare: limit.NewBook[string](o.BasicRate, o.BasicBurst, bareKeys),
		open: places{ofProject: streamsOfProject, inAll: streamsInAll, over: errStreams}, sends: places{ofProject: sendsOfProject, inAll: sendsInAll, over: errSends}}
	mux.HandleFunc("GET "+SchemaPath, schema)
	s.api.UseMiddleware(s.guard)
	s.registerFunctions()
	s.registerLogs()
	s.registerSend()
	s.registerVersions()
	s.registerKept()
	s.registerKeys()
	s.registerReach()
	s.registerSubprojects()
	s.registerGateway()
	s.registerMatrix()
	s.registerPolicyDiff()
	s.registerLimits()
	s.registerServer()
	s.registerSigningKeys()
	s.registerArtefacts()
	s.registerUploads()
	s.registerSources()
	s.registerPlan()
	s.registerAudit()
	s.registerUsage()
	s.registerTraffic()
	s.registerEvents()
	s.registerSecrets()
	s.registerTunnels()
	s.registerUsers()
	documentErrors(s.api.OpenAPI())
	return &front{mux: mux, log: o.Log}, s.api.OpenAPI()
}
