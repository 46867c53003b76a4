package admin

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/auth"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/funclog"
	"postern.dev/postern/internal/platform"
)

// Doors are the gateway's, to which requests are sent for who asks. The answer
// to one is what a caller would get: nothing goes round a step.
type Doors struct {
	// Outside takes callers from anywhere, Internal functions that call others.
	Outside, Internal http.Handler
	// Token makes a token of an access key for one audience, which lives for
	// seconds. It is shown at a door and told to nobody.
	Token func(k KeyForm, audience string, now time.Time) (string, error)
	// Hide takes the values of secrets out of a text; nil: nobody knows any.
	Hide func(string) string
}

func (d Doors) hide(s string) string {
	if d.Hide == nil {
		return s
	}
	return d.Hide(s)
}

// KeyForm is an access key with one of its secrets.
type KeyForm struct {
	ID, ProjectID string
	Generation    int // of the secret
}

const (
	maxSent     = 1 << 20 // bytes of a body, in either direction
	sendTimeout = 100 * time.Second
	// A body of maxSent can be six times as long in JSON: \u0001.
	maxSendBody       = 6*maxSent + 1<<20
	sendsOfProject    = 8
	sendsInAll        = 64
	tokenHeader       = "X-Postern-Token" // at the internal door
	internalDomain    = ".internal"
	longestSentHeader = 32 << 10 // bytes of all fields
)

var (
	errSends      = fault.New(fault.TooMany, "as many requests as may be are being sent already").WithCode("sends_limited")
	errNotCaller  = fault.New(fault.Denied, "the credential that asks opens no function itself").WithCode("caller_opens_nothing")
	errBound      = fault.New(fault.Denied, "tokens of this access key are bound to a key or certificate that only its holder has").WithCode("caller_opens_nothing")
	errSentLate   = fault.New(fault.Timeout, "the function did not answer as long as the control plane waits, which is "+sendTimeout.String()).WithHint("call it at its own address; its log has the request")
	errSenderGone = fault.New(fault.Invalid, "who asked went away before the answer").WithCode("client_closed")
	errSentCut    = fault.New(fault.Unavailable, "the gateway cut the connection off before an answer").WithHint("the function's log says why; then send it again")
)

func (s *service) registerSend() {
	register(s, huma.Operation{OperationID: "sendRequest", Method: http.MethodPost, Path: "/v1/projects/{projectId}/functions/{name}/requests", Summary: "Send a request to a function through the gateway",
		Description:  "The request takes every step that a caller's takes: it is recognised, limited, counted and logged, and a refusal of the gateway is the answer that is told, with 200 of this operation.",
		MaxBodyBytes: maxSendBody, Errors: []int{400, 404, 422, 503, 504}}, s.sendRequest)
}

func (s *service) sendRequest(ctx context.Context, in *struct {
	FunctionPath
	Body api.SendRequest
}) (*body[api.SentResponse], error) {
	f, err := s.named(ctx, in.FunctionPath)
	if err != nil {
		return nil, err
	}
	r, dropped, err := requestToSend(in.Body)
	if err != nil {
		return nil, err
	}
	noteDetail(ctx, "as", in.Body.As)
	noteDetail(ctx, "request", r.Method+" "+s.o.Doors.hide(pathOf(in.Body.Path)))
	door, err := s.doorFor(ctx, r, f, in.Body)
	if err != nil {
		return nil, err
	}
	release, err := s.sends.take(in.ProjectID)
	if err != nil {
		return nil, err
	}
	defer release()
	watch := s.o.Logs.Follow(f.ID, funclog.From{}) // a call is kept while somebody looks
	defer watch.Close()
	out, err := s.sent(ctx, door, r)
	if err != nil {
		return nil, err
	}
	out.Dropped = dropped
	noteDetail(ctx, "requestId", out.RequestID)
	noteDetail(ctx, "answered", strconv.Itoa(out.Status))
	return &body[api.SentResponse]{out}, nil
}

// doorFor addresses a request to a function, shows what it is sent with, and
// returns the door that takes it.
func (s *service) doorFor(ctx context.Context, r *http.Request, f platform.Function, in api.SendRequest) (http.Handler, error) {
	d, now := s.o.Doors, time.Now()
	address := s.o.URLs(f.Slug)[0]
	r.Host = hostOf(address)
	r.RequestURI = "/fn/" + f.Slug + in.Path
	r.RemoteAddr = remoteAddr(ctx)
	switch in.As {
	case api.AsNobody:
		return d.Outside, nil
	case api.AsFunction:
		dep, err := s.o.Store.Deployment(ctx, f.ActiveDeploymentID)
		if err != nil {
			return nil, err
		}
		token, err := d.Token(KeyForm{dep.KeyID, f.ProjectID, 1}, auth.CallAudience, now) // its key is never rotated
		r.Host, r.RequestURI = f.Name+internalDomain, in.Path
		r.Header.Set(tokenHeader, token)
		return d.Internal, err
	}
	p := principal(ctx)
	switch {
	case p.Key == nil || !strings.Contains(" "+p.Scopes()+" ", " "+string(platform.ScopeInvoke)+" "):
		return nil, errNotCaller
	case p.Key.Bound() != platform.BindingNone:
		return nil, errBound
	}
	token, err := d.Token(KeyForm{p.ID(), p.ProjectID(), p.Generation()}, address, now)
	r.Header.Set("Authorization", "Bearer "+token)
	return d.Outside, err
}

// sent sends a request and takes the answer down. It ends with the operation.
func (s *service) sent(ctx context.Context, door http.Handler, r *http.Request) (out api.SentResponse, err error) {
	inner, cancel := context.WithTimeout(valueless{ctx}, sendTimeout)
	defer cancel()
	w := &received{header: http.Header{}, cancel: cancel}
	began := time.Now()
	whole := w.from(door, r.WithContext(inner))
	late := errors.Is(inner.Err(), context.DeadlineExceeded)
	switch {
	case ctx.Err() != nil:
		return out, errSenderGone
	case late && (w.status == 0 || w.status == statusClientClosed):
		return out, errSentLate
	case w.status == 0:
		return out, errSentCut
	}
	ms := func(t time.Time) float64 { return float64(t.Sub(began).Microseconds()) / 1000 }
	out = api.SentResponse{RequestID: w.sentHeader.Get("X-Request-Id"), Status: w.status, Headers: funclog.Headers(w.sentHeader, s.o.Doors.hide), Truncated: w.full || !whole || inner.Err() != nil,
		StartTime: began.UTC(), FirstByteMS: ms(w.firstAt), TookMS: ms(time.Now())}
	if text := s.o.Doors.hide(string(w.body)); readable(text, out.Truncated) {
		out.Body = strings.ToValidUTF8(text, "") // of what was cut, half a character is left
	} else {
		out.BodyBase64 = base64.StdEncoding.EncodeToString([]byte(text))
	}
	return out, nil
}

// statusClientClosed is how the gateway answers who went away.
const statusClientClosed = 499

// readable reports whether bytes are text: of what was cut, the last character
// may be half there.
func readable(s string, cut bool) bool {
	for i := 0; cut && i < utf8.UTFMax && len(s) > 0 && !utf8.ValidString(s); i++ {
		s = s[:len(s)-1]
	}
	return utf8.ValidString(s) && !strings.ContainsRune(s, 0)
}

// valueless is a context that ends with another and has nothing else of it: who
// asked the control plane is not who asks the gateway.
type valueless struct{ context.Context }

func (valueless) Value(any) any { return nil }
