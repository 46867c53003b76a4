package signature

import (
	"fmt"
	"strings"
	"time"

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

// Guard says how the callbacks of an address are signed, and which variables of
// their function hold what they are verified with.
type Guard struct {
	Scheme Scheme
	// KeyID is the variable with the sender's name for the key; empty where the
	// scheme has none.
	KeyID string
	// Secrets are the variables with a secret; several while one replaces the
	// other.
	Secrets []string
	Window  time.Duration // 0: 5 minutes
}

// For is the guard of a handler, by its name and kind: the voice callbacks, and
// of the services voice, conversation, sms and numbers. Another service's
// handler has none by its name alone: its manifest or an operator gives it one.
func For(name string, kind platform.HandlerKind) (Guard, bool) {
	if kind == platform.HandlerCallback {
		return Guard{Scheme: VoiceV1(), KeyID: voiceKeys["voice-v1"], Secrets: []string{"VOICE_APPLICATION_SECRET"}}, true
	}
	if kind != platform.HandlerService {
		return Guard{}, false
	}
	switch service := strings.TrimSuffix(name, "Webhook"); service {
	case "voice":
		return Guard{Scheme: VoiceV2(), KeyID: voiceKeys["voice-v2"], Secrets: []string{"VOICE_SERVICE_SECRET"}}, true
	case "conversation", "sms":
		return Guard{Scheme: Conversation(), Secrets: []string{strings.ToUpper(service) + "_WEBHOOK_SECRET"}}, true
	case "numbers":
		return Guard{Scheme: Numbers(), Secrets: []string{"NUMBERS_CALLBACK_SECRET"}}, true
	}
	return Guard{}, false
}

// Of is the guard of an address: what its rule says or, where that says
// nothing, what goes by the handler's name.
func Of(s *platform.Signature, name string, kind platform.HandlerKind) (Guard, error) {
	if s != nil {
		return Named(s)
	}
	if g, ok := For(name, kind); ok {
		return g, nil
	}
	return Guard{}, fmt.Errorf("nothing says how the callbacks of %s are signed", name)
}

// Keys takes the guard's keys from a function's variables and secrets; value is
// empty for one that is not there. Without a secret, or without the name that
// belongs to it, there is none, and what New makes of that refuses everything.
func (g Guard) Keys(value func(variable string) string) (keys []Key) {
	for _, name := range g.Secrets {
		id := name
		if g.KeyID != "" {
			id = value(g.KeyID)
		}
		if secret := value(name); id != "" && secret != "" {
			keys = append(keys, Key{id, NewSecret(secret)})
		}
	}
	return keys
}

// lacks says why the guard lets nobody in; empty if it may let somebody in.
func (g Guard) lacks(value func(variable string) string) string {
	keys := g.Keys(value)
	if len(keys) == 0 {
		return "until the function has " + strings.TrimPrefix(g.KeyID+" and "+strings.Join(g.Secrets, " or "), " and ")
	}
	for _, name := range g.Secrets {
		if text := value(name); text == "" {
			continue
		} else if _, err := g.Scheme.key(text); err != nil {
			return "because " + name + " is no secret of " + g.Scheme.Name() + ": " + err.Error()
		}
	}
	return ""
}

// Unset says which of a deployment's addresses that are guarded by signature let
// nobody in, and what they lack: one sentence for each lack.
func Unset(handlers []platform.Handler, value func(variable string) string) []string {
	var lacks []string
	labels := map[string][]string{} // by what they lack
	look := func(label string, guard platform.Guard, s *platform.Signature, h *platform.Handler) {
		if guard != platform.GuardSignature {
			return
		}
		g, err := Of(s, h.Name, h.Kind)
		why := ""
		if err != nil {
			why = "because " + err.Error()
		} else {
			why = g.lacks(value)
		}
		if why == "" {
			return
		}
		if labels[why] == nil {
			lacks = append(lacks, why)
		}
		labels[why] = append(labels[why], label)
	}
	for i := range handlers {
		h := &handlers[i]
		if len(h.Routes) == 0 {
			look(h.Name, h.Guard, h.Signature, h)
		}
		for _, r := range h.Routes {
			look(r.Pattern, r.Guard, r.Signature, h)
		}
	}
	out := make([]string, len(lacks))
	for i, why := range lacks {
		out[i] = strings.Join(labels[why], ", ") + ": every callback is refused " + why
	}
	return out
}
