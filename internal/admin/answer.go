package admin

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"postern.dev/postern/internal/httpx"
)

// answer is the ResponseWriter of one call. It knows what was answered, and on
// the paths that clients of the google.rpc error shape know it gives every
// problem that shape, whoever tells of it: the mux, the guard, the validation
// of huma, or an operation.
type answer struct {
	http.ResponseWriter
	status int           // 0: not begun
	rpc    bool          // problems take the shape of RPCError
	held   *bytes.Buffer // the problem on its way; nil: none
}

func (a *answer) WriteHeader(status int) {
	if a.status != 0 {
		a.ResponseWriter.WriteHeader(status) // net/http says in the log that it is too late
		return
	}
	a.status = status
	if a.rpc && a.Header().Get("Content-Type") == httpx.ContentType {
		if status == http.StatusUnprocessableEntity {
			a.status = http.StatusBadRequest // the family has no other for what is malformed
		}
		a.held = new(bytes.Buffer)
		return
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(p []byte) (int, error) {
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	if a.held != nil {
		return a.held.Write(p)
	}
	return a.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController set deadlines.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// finish sends a problem that was held back.
func (a *answer) finish() {
	if a.held == nil {
		return
	}
	var p httpx.Problem
	if err := json.Unmarshal(a.held.Bytes(), &p); err != nil {
		p = httpx.ProblemOf(nil, "") // it is ours: cannot happen, and must not show what it is
	}
	a.held = nil
	body, _ := json.Marshal(rpcErrorOf(p, a.status)) // strings and ints: cannot fail
	body = append(body, '\n')
	h := a.Header()
	h["Content-Type"] = []string{"application/json"}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	a.ResponseWriter.WriteHeader(a.status)
	a.ResponseWriter.Write(body)
}

// takesRPCErrors reports whether a path, as it was sent, is one of access keys
// or subprojects. It errs for no path that an operation has: the mux matches
// the same segments.
func takesRPCErrors(path string) bool {
	s := strings.Split(path, "/") // "", "v1", …
	if len(s) < 3 || s[1] != "v1" {
		return false
	}
	return s[2] == "subprojects" || s[2] == "projects" && len(s) > 4 && (s[4] == "accessKeys" || s[4] == "subprojects")
}

// RPCError is the body of a failure as clients of the google.rpc shape read it.
// It is exported, and so are its parts, for the document alone.
type RPCError struct {
	Error RPCStatus `json:"error"`
}

// RPCStatus says what is wrong.
type RPCStatus struct {
	Code    int       `json:"code" doc:"The HTTP status."`
	Message string    `json:"message" doc:"What is wrong this time."`
	Status  string    `json:"status" doc:"The name of the status, such as INVALID_ARGUMENT."`
	Details []RPCInfo `json:"details"`
}

// RPCInfo is what a problem says beyond that: our code, the hint and the
// request's ID.
type RPCInfo struct {
	Type     string            `json:"type" doc:"ErrorInfo."`
	Reason   string            `json:"reason" doc:"The stable code of docs/errors.md."`
	Domain   string            `json:"domain" doc:"postern."`
	Metadata map[string]string `json:"metadata" doc:"hint: what to do next; requestId: also in the logs."`
}

func rpcErrorOf(p httpx.Problem, status int) RPCError {
	message := p.Detail
	if message == "" {
		message = p.Title
	}
	return RPCError{RPCStatus{status, message, rpcStatusOf(p.Code, status), []RPCInfo{
		{"ErrorInfo", p.Code, "postern", map[string]string{"hint": p.Hint, "requestId": p.RequestID}}}}}
}

// rpcCodes are the problems whose status has more than one name.
var rpcCodes = map[string]string{
	"display_name_taken": "ALREADY_EXISTS",
	"key_exists":         "ALREADY_EXISTS",
	"key_of_function":    "FAILED_PRECONDITION",
	"key_expired":        "FAILED_PRECONDITION",
	"nested_subproject":  "FAILED_PRECONDITION",
	"project_not_empty":  "FAILED_PRECONDITION",
}

// rpcStatuses is the name of each other status, as google.rpc.Code has them:
// UNIMPLEMENTED is its word for a method that a path does not take.
var rpcStatuses = map[int]string{
	400: "INVALID_ARGUMENT", 413: "INVALID_ARGUMENT", 415: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND",
	405: "UNIMPLEMENTED", 408: "DEADLINE_EXCEEDED", 409: "ABORTED", 429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED",
}

func rpcStatusOf(code string, status int) string {
	if name, ok := rpcCodes[code]; ok {
		return name
	}
	if name, ok := rpcStatuses[status]; ok {
		return name
	}
	return "INTERNAL_ERROR"
}
