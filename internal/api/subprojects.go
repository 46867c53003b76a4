package api

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// Subproject is a project below another one.
type Subproject struct {
	SubprojectID    string            `json:"subprojectId"`
	DisplayName     string            `json:"displayName"`
	ParentProjectID string            `json:"parentProjectId"`
	Labels          map[string]string `json:"labels"`
	CreateTime      time.Time         `json:"createTime"`
	UpdateTime      time.Time         `json:"updateTime"`
	Deleted         bool              `json:"deleted"`
}

// Subprojects is one page of subprojects.
type Subprojects struct {
	Subprojects   []Subproject `json:"subprojects"`
	NextPageToken string       `json:"nextPageToken" doc:"Empty on the last page."`
}

// CreateSubprojectRequest asks for a new subproject.
type CreateSubprojectRequest struct {
	DisplayName string            `json:"displayName" doc:"1 to 255 characters; need not be unique."`
	Labels      map[string]string `json:"labels,omitempty" doc:"At most 255 entries, names to 64 and values to 256 characters."`
}

// UpdateSubprojectRequest changes a subproject; what is absent stays.
type UpdateSubprojectRequest struct {
	DisplayName *string           `json:"displayName,omitempty" doc:"1 to 255 characters."`
	Labels      map[string]string `json:"labels,omitzero" doc:"Takes the place of all there are."`
}

// CreateSubproject makes a subproject of the client's project.
func (c *Client) CreateSubproject(ctx context.Context, in CreateSubprojectRequest) (out Subproject, err error) {
	return out, c.call(ctx, http.MethodPost, c.project("subprojects"), in, &out)
}

// Subprojects lists one page of subprojects, from a page token on; deleted
// ones as well when asked.
func (c *Client) Subprojects(ctx context.Context, pageToken string, deleted bool) (out Subprojects, err error) {
	return out, c.call(ctx, http.MethodGet, c.project("subprojects")+page(pageToken, "showDeleted", deleted), nil, &out)
}

// FindSubprojects lists one page of subprojects, of a size, from a page token on.
func (c *Client) FindSubprojects(ctx context.Context, pageToken string, size int) (out Subprojects, err error) {
	return out, c.call(ctx, http.MethodGet, c.project("subprojects")+listQuery(map[string]string{"pageToken": pageToken}, nil, size), nil, &out)
}

// Subproject returns one subproject.
func (c *Client) Subproject(ctx context.Context, id string) (out Subproject, err error) {
	return out, c.call(ctx, http.MethodGet, subproject(id), nil, &out)
}

// UpdateSubproject changes a subproject.
func (c *Client) UpdateSubproject(ctx context.Context, id string, in UpdateSubprojectRequest) (out Subproject, err error) {
	return out, c.call(ctx, http.MethodPatch, subproject(id), in, &out)
}

// DeleteSubproject ends a subproject and its keys.
func (c *Client) DeleteSubproject(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodDelete, subproject(id), nil, nil)
}

func subproject(id string) string { return "/v1/subprojects/" + url.PathEscape(id) }
