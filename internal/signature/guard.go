package signature

import (
	"strings"

	"postern.dev/postern/internal/platform"
)

// Protection says when callbacks must be signed: a manifest's webhookProtection.
// The zero value is ProtectDeploy.
type Protection string

// The settings of webhookProtection.
const (
	ProtectDeploy Protection = "deploy" // when deployed, not in dev
	ProtectAlways Protection = "always"
	ProtectNever  Protection = "never"
)

// Enforced reports whether a callback must be signed. A setting that nobody
// knows enforces.
func (p Protection) Enforced(deployed bool) bool {
	switch p {
	case ProtectNever:
		return false
	case ProtectDeploy, "":
		return deployed
	}
	return true
}

// Guard says how a handler's callbacks are signed, and which variables of its
// function hold what they are verified with.
type Guard struct {
	Scheme Scheme
	// KeyID is the variable with the sender's name for the key; empty where the
	// scheme has none.
	KeyID string
	// Secret is the variable with the secret.
	Secret string
}

// For is the guard of a handler, by its name and kind: the voice callbacks, and
// of the services voice, conversation, sms and numbers. Another service's
// handler has none by its name alone: an operator gives it one.
func For(name string, kind platform.HandlerKind) (Guard, bool) {
	if kind == platform.HandlerCallback {
		return Guard{VoiceV1(), "VOICE_APPLICATION_KEY", "VOICE_APPLICATION_SECRET"}, true
	}
	if kind != platform.HandlerService {
		return Guard{}, false
	}
	switch service := strings.TrimSuffix(name, "Webhook"); service {
	case "voice":
		return Guard{VoiceV2(), "VOICE_SERVICE_ID", "VOICE_SERVICE_SECRET"}, true
	case "conversation", "sms":
		return Guard{Scheme: Conversation(), Secret: strings.ToUpper(service) + "_WEBHOOK_SECRET"}, true
	case "numbers":
		return Guard{Scheme: Numbers(), Secret: "NUMBERS_CALLBACK_SECRET"}, true
	}
	return Guard{}, false
}

// Keys takes the guard's keys from a function's variables and secrets; value is
// empty for one that is not there. Without a secret, or without the name that
// belongs to it, there is none, and what New makes of that refuses everything.
func (g Guard) Keys(value func(variable string) string) []Key {
	id, secret := g.Scheme.Name(), value(g.Secret)
	if g.KeyID != "" {
		id = value(g.KeyID)
	}
	if id == "" || secret == "" {
		return nil
	}
	return []Key{{id, NewSecret(secret)}}
}

// Unset says which of a deployment's handlers that are guarded by signature let
// nobody in, and what they lack: one sentence for each pair of variables.
func Unset(handlers []platform.Handler, value func(variable string) string) []string {
	var out []string
	missing := map[string]int{} // variables → place in out
	for _, h := range handlers {
		g, ok := For(h.Name, h.Kind)
		if h.Guard != platform.GuardSignature || !ok {
			continue
		}
		why := ""
		if keys := g.Keys(value); len(keys) == 0 {
			why = "until the function has " + strings.TrimPrefix(g.KeyID+" and "+g.Secret, " and ")
		} else if _, err := g.Scheme.key(keys[0].Secret.reveal()); err != nil {
			why = "because " + g.Secret + " is no secret of " + g.Scheme.Name() + ": " + err.Error()
		}
		if why == "" {
			continue
		}
		if at, again := missing[why]; again {
			out[at] = h.Name + ", " + out[at]
			continue
		}
		missing[why] = len(out)
		out = append(out, h.Name+": every callback is refused "+why)
	}
	return out
}
