package audit

import (
	"strconv"
	"strings"
	"time"

	"postern.dev/postern/internal/platform"
)

// Explanation is what became of a request, or what would, step by step. It
// holds no secret, and says of none whether it is right.
type Explanation struct {
	RequestID string // empty of a question
	At        time.Time
	Door      platform.Door
	Outcome   platform.Outcome
	Status    int    // 0 of a question that would be allowed
	Code      string // of the refusal or failure
	Steps     []Step
}

// Step is one of the steps that a request passes, with what decided.
type Step struct {
	Number  int
	Name    string
	Verdict Verdict
	Why     string
}

// Verdict is what one step said.
type Verdict string

// The verdicts.
const (
	Passed     Verdict = "passed"
	Refused    Verdict = "refused"
	Failed     Verdict = "failed"
	NotReached Verdict = "not reached"
	NotTried   Verdict = "not tried" // of a question: no worker is called
)

// Question describes a request that is not made.
type Question struct {
	// ProjectID is whose functions are asked about; those of others are not seen.
	ProjectID string
	// CallerID is the project of whoever asks; its keys may be asked about too.
	CallerID string
	Method   string // empty: GET
	URL      string // absolute, or a path
	Remote   string // an address and port
	KeyID    string // empty: no credentials
	// Key is the key of that ID as it is stored, also if it has ended; nil if
	// neither project has it.
	Key *platform.AccessKey
}

// StepNames are the gateway's steps, in order.
var StepNames = [...]string{"identify", "route", "authenticate", "authorise", "limit", "acquire", "invoke", "account"}

// Steps lists the gateway's steps for a request that was stopped at one of
// them, from 1: those before passed, those after were not reached.
func Steps(stopped int, verdict Verdict, why string) []Step {
	steps := make([]Step, len(StepNames))
	for i, name := range StepNames {
		steps[i] = Step{Number: i + 1, Name: name, Verdict: Passed}
		switch {
		case i+1 == stopped:
			steps[i].Verdict, steps[i].Why = verdict, why
		case i+1 > stopped && i+1 < len(StepNames):
			steps[i].Verdict = NotReached
		}
	}
	return steps
}

// The entries of a gateway event's Detail.
const (
	DetailStep    = "step"
	DetailHandler = "handler"
	DetailGuard   = "guard"
	DetailWhy     = "why"
)

// Explain says what a recorded event tells of its request.
func Explain(e Event) Explanation {
	out := Explanation{RequestID: e.RequestID, At: e.At, Door: e.Door, Outcome: e.Outcome, Status: e.Status, Code: e.Code}
	stopped, err := strconv.Atoi(e.Detail[DetailStep])
	if e.Door == platform.DoorGateway && err == nil && stopped >= 1 && stopped <= len(StepNames) {
		out.Steps = Steps(stopped, Refused, e.Detail[DetailWhy])
		if route := &out.Steps[1]; stopped > 2 {
			route.Why = RouteWhy(e.Target, e.Detail[DetailHandler], e.Detail[DetailGuard])
		}
		if e.KeyID != "" && stopped > 3 {
			out.Steps[2].Why = KeyWhy(e.KeyID, e.Method)
		}
		return out
	}
	recognised := Step{Number: 1, Name: "authenticate", Verdict: Passed, Why: KeyWhy(e.KeyID, e.Method)}
	decided := Step{Number: 2, Name: "authorise", Verdict: Passed}
	acted := Step{Number: 3, Name: "act", Verdict: Passed, Why: e.Action + " " + e.Target}
	switch {
	case e.Outcome == platform.OutcomeFailed:
		acted.Verdict, acted.Why = Failed, acted.Why+": "+e.Code
	case e.Outcome == platform.OutcomeRefused && e.KeyID == "":
		recognised.Verdict, recognised.Why = Refused, or(e.Detail[DetailWhy], e.Code)
		decided.Verdict, acted.Verdict = NotReached, NotReached
	case e.Outcome == platform.OutcomeRefused:
		decided.Verdict, decided.Why = Refused, or(e.Detail[DetailWhy], e.Code)
		acted.Verdict = NotReached
	}
	out.Steps = []Step{recognised, decided, acted}
	return out
}

// RouteWhy says where a request was led.
func RouteWhy(slug, handler, guard string) string {
	if slug == "" {
		return "built in"
	}
	return "function " + slug + ", handler " + or(handler, "built in") + ", guard: " + guard
}

// KeyWhy says who was recognised.
func KeyWhy(keyID, method string) string {
	if strings.HasPrefix(keyID, "usr_") {
		return "user " + keyID + ", signed in to the console"
	}
	return "access key " + or(keyID, "of another project") + ", shown as " + or(method, "a credential")
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
