package oauth

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/fault"
)

// oauthError is an error as RFC 6749 §5.2 writes it. For what that section has
// no code, it is one of §4.1.2.1.
type oauthError struct {
	status int
	code   string
	text   string // never which half of a credential was wrong
	hint   string
	wait   time.Duration
}

func (e *oauthError) Error() string { return e.code + ": " + e.text }

var (
	errMethod = &oauthError{status: http.StatusMethodNotAllowed, code: "invalid_request", text: "only POST is served here", hint: "send a form by POST"}
	errClient = &oauthError{status: http.StatusUnauthorized, code: "invalid_client", text: "the client is not known, or its secret is wrong", hint: "send an access key: its ID and its secret, by HTTP Basic"}
)

func invalidRequest(text string) error {
	return &oauthError{status: http.StatusBadRequest, code: "invalid_request", text: text}
}

func badRequest(code, text, hint string) error {
	return &oauthError{status: http.StatusBadRequest, code: code, text: text, hint: hint}
}

func tooMany(wait time.Duration) error {
	return &oauthError{status: http.StatusTooManyRequests, code: "temporarily_unavailable", text: "too many calls at once", hint: "keep a token until it expires; wait as long as Retry-After says", wait: wait}
}

// refuse writes an error. What is unknown is internal, goes to the log, and is
// not shown.
func (s *Server) refuse(w http.ResponseWriter, c *call, err error) {
	e, ok := errors.AsType[*oauthError](err)
	if !ok {
		s.o.Log.Error("the token server failed", "requestId", c.RequestID, "endpoint", c.Endpoint, "error", err)
		e = &oauthError{status: http.StatusInternalServerError, code: "server_error", text: "internal error; the request ID is " + c.RequestID}
		if fault.KindOf(err) == fault.Unavailable { // as when the database is away, which passes
			e = &oauthError{status: http.StatusServiceUnavailable, code: "temporarily_unavailable", text: "this cannot be done now; the request ID is " + c.RequestID, hint: "try again soon"}
		}
	}
	h := w.Header()
	switch {
	case e.status == http.StatusUnauthorized:
		h[auth.ChallengeHeader] = []string{`Basic realm="postern", charset="UTF-8"`}
	case e.status == http.StatusMethodNotAllowed:
		h["Allow"] = []string{http.MethodPost}
	case e.wait > 0:
		h["Retry-After"] = []string{strconv.Itoa(int((e.wait + time.Second - 1) / time.Second))}
	}
	c.Status, c.Code = e.status, e.code
	s.write(w, c, struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
		Hint        string `json:"error_hint,omitempty"`
		Verbose     string `json:"error_verbose"`
	}{e.code, e.text, e.hint, e.text})
}
