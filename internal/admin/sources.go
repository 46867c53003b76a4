package admin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"postern.dev/postern/internal/bundle"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
)

func (s *service) registerSources() {
	register(s, huma.Operation{OperationID: "downloadSources", Method: http.MethodGet, Path: "/v1/projects/{projectId}/functions/{name}/source", Summary: "The project of a version, as a zip file",
		Description: "What was deployed, but for what is never deployed: no file that begins with a dot is in it. Of the settings that .env had there are the names, in a .env without a value.", Errors: []int{404},
		Responses: map[string]*huma.Response{"200": {Description: "The project.", Content: map[string]*huma.MediaType{"application/zip": {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}}}}}, s.downloadSources)
}

// zipped is an answer that is a zip file.
type zipped struct {
	ContentType string `header:"Content-Type"`
	Version     int    `header:"Postern-Version" doc:"The version's number."`
	Body        []byte
}

func (s *service) downloadSources(ctx context.Context, in *struct {
	FunctionPath
	Version int `query:"version" minimum:"1" doc:"Its number; absent: the active one."`
}) (*zipped, error) {
	f, err := s.o.Store.Function(ctx, in.ProjectID, in.Name)
	if err != nil {
		return nil, err
	}
	d, err := s.version(ctx, f, in.Version)
	if err != nil {
		return nil, err
	}
	archive, err := s.archive(ctx, d)
	if err != nil {
		return nil, err
	}
	zip, err := archive.Sources(map[string][]byte{".env": namesOnly(archive.Manifest(), d)})
	if errors.Is(err, bundle.ErrNoSources) {
		err = fault.Wrap(err, fault.NotFound, fmt.Sprintf("version %d of %s was deployed without its sources", d.Number, f.Name)).WithCode("sources_missing")
	}
	if err != nil {
		return nil, err
	}
	return &zipped{"application/zip", d.Number, zip}, nil
}

// archive is what a deployment was made of.
func (s *service) archive(ctx context.Context, d platform.Deployment) (*bundle.Archive, error) {
	data, err := s.o.Artefacts.Read(ctx, d.ProjectID, d.Artefact)
	if err != nil {
		return nil, err
	}
	return bundle.Open(data)
}

// version is a deployment of a function by its number; 0 is the active one.
func (s *service) version(ctx context.Context, f platform.Function, number int) (platform.Deployment, error) {
	if number == 0 {
		return s.o.Store.Deployment(ctx, f.ActiveDeploymentID)
	}
	return s.o.Store.Version(ctx, f.ID, number)
}

// namesOnly is the .env of a version: the secrets that it needs and the variables
// that its manifest does not have, none with its value.
func namesOnly(m function.Manifest, d platform.Deployment) []byte {
	names := map[string]bool{}
	for _, name := range slices.Concat(m.Secrets, d.SecretNames) {
		names[name] = true
	}
	for name := range d.Variables {
		if _, ok := m.Variables[name]; !ok {
			names[name] = true
		}
	}
	var out bytes.Buffer
	out.WriteString("# The names of the settings, without their values: those of secrets are in your\n# keychain (postern secrets add NAME) and on the server.\n")
	for _, name := range slices.Sorted(maps.Keys(names)) {
		fmt.Fprintf(&out, "%s=\n", name)
	}
	return out.Bytes()
}
