package api

import (
	"context"
	"net/http"
	"time"
)

// User is a person who may sign in to the console.
type User struct {
	UserID       string     `json:"userId"`
	Name         string     `json:"name"`
	ProjectID    string     `json:"projectId"`
	SecondFactor bool       `json:"secondFactor" doc:"They show a code besides the password."`
	CreateTime   time.Time  `json:"createTime"`
	UpdateTime   time.Time  `json:"updateTime"`
	SignInTime   *time.Time `json:"signInTime,omitempty" doc:"When they signed in last; absent: never."`
}

// Users is one page of users.
type Users struct {
	Users         []User `json:"users"`
	NextPageToken string `json:"nextPageToken" doc:"Empty on the last page."`
}

// CreateUserRequest asks for a new user.
type CreateUserRequest struct {
	Name     string `json:"name" maxLength:"100" doc:"Up to 64 lower-case letters, digits and ._@+-, a letter or a digit first; one name is one user on the whole installation."`
	Password string `json:"password" maxLength:"1024" doc:"At least 12 characters."`
	First    bool   `json:"first,omitempty" doc:"Refuse it where a user was ever made."`
}

// SetPasswordRequest gives a user another password.
type SetPasswordRequest struct {
	Password string `json:"password" maxLength:"1024" doc:"At least 12 characters."`
}

// Users lists one page of users, from a page token on.
func (c *Client) Users(ctx context.Context, pageToken string) (out Users, err error) {
	return out, c.call(ctx, http.MethodGet, c.project("users")+page(pageToken, "", false), nil, &out)
}

// User returns one user.
func (c *Client) User(ctx context.Context, id string) (out User, err error) {
	return out, c.call(ctx, http.MethodGet, c.project("users", id), nil, &out)
}

// CreateUser makes a user of the client's project.
func (c *Client) CreateUser(ctx context.Context, in CreateUserRequest) (out User, err error) {
	return out, c.call(ctx, http.MethodPost, c.project("users"), in, &out)
}

// DeleteUser removes a user; their sessions end.
func (c *Client) DeleteUser(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodDelete, c.project("users", id), nil, nil)
}

// SetPassword gives a user another password; their sessions end.
func (c *Client) SetPassword(ctx context.Context, id, password string) (out User, err error) {
	return out, c.call(ctx, http.MethodPost, c.project("users", id, "password"), SetPasswordRequest{password}, &out)
}

// ResetSecondFactor lets a user sign in without a code.
func (c *Client) ResetSecondFactor(ctx context.Context, id string) (out User, err error) {
	return out, c.call(ctx, http.MethodDelete, c.project("users", id, "totp"), nil, &out)
}
