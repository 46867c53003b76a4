package api

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"time"
)

// Object is what a function has stored under a key.
type Object struct {
	Key        string    `json:"key"`
	Bytes      int64     `json:"bytes"`
	UpdateTime time.Time `json:"updateTime"`
}

// Objects is one page of what a function has stored, in the order of the keys' bytes.
type Objects struct {
	Objects       []Object `json:"objects"`
	NextPageToken string   `json:"nextPageToken" doc:"Empty on the last page."`
}

// Uploaded is what was taken.
type Uploaded struct {
	Bytes int64 `json:"bytes"`
}

// DownloadDatabase reads a copy of a function's own database, of so many bytes. Close
// it.
func (c *Client) DownloadDatabase(ctx context.Context, function string) (from io.ReadCloser, size int64, err error) {
	return c.download(ctx, c.project("functions", function, "database"))
}

// UploadDatabase replaces a function's own database by so many bytes.
func (c *Client) UploadDatabase(ctx context.Context, function string, from io.ReadSeeker, size int64) (out Uploaded, err error) {
	return out, c.upload(ctx, c.project("functions", function, "database"), from, size, &out)
}

// Objects lists one page of what a function has stored below a prefix, from a page
// token on.
func (c *Client) Objects(ctx context.Context, function, prefix, pageToken string) (out Objects, err error) {
	q := url.Values{"prefix": {prefix}, "pageToken": {pageToken}, "pageSize": {"1000"}}
	return out, c.call(ctx, http.MethodGet, c.project("functions", function, "storage")+"?"+q.Encode(), nil, &out)
}

// DownloadObject reads an object of a function's storage, of so many bytes. Close it.
func (c *Client) DownloadObject(ctx context.Context, function, key string) (from io.ReadCloser, size int64, err error) {
	return c.download(ctx, c.object(function, key))
}

// UploadObject stores so many bytes under a key.
func (c *Client) UploadObject(ctx context.Context, function, key string, from io.ReadSeeker, size int64) (out Uploaded, err error) {
	return out, c.upload(ctx, c.object(function, key), from, size, &out)
}

// DeleteObject removes an object of a function's storage.
func (c *Client) DeleteObject(ctx context.Context, function, key string) error {
	return c.call(ctx, http.MethodDelete, c.object(function, key), nil, nil)
}

func (c *Client) object(function, key string) string {
	return c.project("functions", function, "storage", "object") + "?key=" + url.QueryEscape(key)
}
