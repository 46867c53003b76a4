// Package httpx is what both listeners share: the table of problem codes and
// the one function that writes a problem, request IDs, and servers with their
// limits set.
//
// It knows nothing of functions, keys or policy.
package httpx

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"postern.dev/postern/internal/fault"
)

// Problem is the body of every refusal and failure: RFC 9457 with three
// members of ours. Detail and Hint may be shown to anyone who may call.
type Problem struct {
	Type      string `json:"type" doc:"A URI reference for the kind of problem: urn:postern:problem:<code>."`
	Title     string `json:"title" doc:"What is wrong, the same for each problem of this code."`
	Status    int    `json:"status" doc:"The HTTP status."`
	Detail    string `json:"detail,omitempty" doc:"What is wrong this time."`
	Code      string `json:"code" doc:"The stable code of docs/errors.md."`
	Hint      string `json:"hint,omitempty" doc:"What to do next."`
	RequestID string `json:"requestId,omitempty" doc:"The request's ID, also in the logs."`
}

// ContentType is the media type of a Problem.
const ContentType = "application/problem+json"

// ProblemOf makes the body for err. An error without a public text of its own
// shows its code's title and nothing else.
func ProblemOf(err error, requestID string) Problem {
	c := CodeOf(err)
	p := Problem{Type: "urn:postern:problem:" + c.Code, Title: c.Title, Status: c.Status, Code: c.Code, Hint: c.Remedy, RequestID: requestID}
	if e := asFault(err); e != nil && e.Kind != fault.Internal {
		p.Detail = e.Text
		if e.Hint != "" {
			p.Hint = e.Hint
		}
	}
	return p
}

// appendProblem appends p as encoding/json writes it. It is written out because
// a stranger decides how often it is done.
func appendProblem(b []byte, p *Problem) []byte {
	b = appendText(append(b, `{"type":`...), p.Type)
	b = appendText(append(b, `,"title":`...), p.Title)
	b = strconv.AppendInt(append(b, `,"status":`...), int64(p.Status), 10)
	if p.Detail != "" {
		b = appendText(append(b, `,"detail":`...), p.Detail)
	}
	b = appendText(append(b, `,"code":`...), p.Code)
	if p.Hint != "" {
		b = appendText(append(b, `,"hint":`...), p.Hint)
	}
	if p.RequestID != "" {
		b = appendText(append(b, `,"requestId":`...), p.RequestID)
	}
	return append(b, '}')
}

// appendText appends a JSON string: as it is where nothing in it needs an escape.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			text, _ := json.Marshal(s) // a string: cannot fail
			return append(b, text...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

// Error makes a Problem an error, so that it can travel where errors do.
func (p *Problem) Error() string { return p.Code + ": " + p.Title }

// Header values that nobody changes.
var (
	problemType = []string{ContentType}
	noStore     = []string{"no-store"}
	noSniff     = []string{"nosniff"}
)

// RetryAfter is implemented by errors that know when to try again.
type RetryAfter interface{ RetryAfter() time.Duration }

// Later is err as a [RetryAfter]: a refusal that passes, after a while.
func Later(err error, wait time.Duration) error { return &later{err, wait} }

type later struct {
	error
	wait time.Duration
}

// Unwrap gives err.
func (l *later) Unwrap() error { return l.error }

// RetryAfter implements the interface of this name.
func (l *later) RetryAfter() time.Duration { return l.wait }

// AfterOf is the field Retry-After of the answer for err, which has a status; nil: it
// has none.
func AfterOf(err error, status int) []string {
	wait := time.Duration(0)
	if r := RetryAfter(nil); errors.As(err, &r) {
		wait = r.RetryAfter()
	} else if status == http.StatusServiceUnavailable {
		wait = time.Second
	}
	if wait <= 0 {
		return nil
	}
	// RFC 9110 §10.2.3: whole seconds; rounded up, so that coming back then is not too early.
	return []string{strconv.Itoa(int((wait + time.Second - 1) / time.Second))}
}

// WriteProblem answers with the problem for err. It sets Retry-After where err
// says when, and on every 503. Headers that w has already been given, such as
// challenges, stay.
func WriteProblem(w http.ResponseWriter, err error, requestID string) Problem {
	p := ProblemOf(err, requestID)
	h := w.Header()
	h["Content-Type"], h["Cache-Control"], h["X-Content-Type-Options"] = problemType, noStore, noSniff
	if after := AfterOf(err, p.Status); after != nil {
		h["Retry-After"] = after
	}
	var room [1024]byte
	body := append(appendProblem(room[:0], &p), '\n')
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(p.Status)
	w.Write(body)
	return p
}

func asFault(err error) *fault.Error {
	e, _ := errors.AsType[*fault.Error](err)
	return e
}
