package signature_test

import (
	"strings"
	"testing"

	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/signature"
)

func TestFor(t *testing.T) {
	t.Parallel()
	const voice = "voice-v1 VOICE_APPLICATION_KEY VOICE_APPLICATION_SECRET"
	for _, tc := range []struct {
		name string
		kind platform.HandlerKind
		want string // scheme and variables; empty where there is none
	}{
		{"ice", platform.HandlerCallback, voice}, {"ace", platform.HandlerCallback, voice}, {"pie", platform.HandlerCallback, voice},
		{"dice", platform.HandlerCallback, voice}, {"notify", platform.HandlerCallback, voice},
		{"voiceWebhook", platform.HandlerService, "voice-v2 VOICE_SERVICE_ID VOICE_SERVICE_SECRET"},
		{"conversationWebhook", platform.HandlerService, "conversation  CONVERSATION_WEBHOOK_SECRET"},
		{"smsWebhook", platform.HandlerService, "conversation  SMS_WEBHOOK_SECRET"},
		{"numbersWebhook", platform.HandlerService, "numbers  NUMBERS_CALLBACK_SECRET"},
		{"stripeWebhook", platform.HandlerService, ""}, {"faxWebhook", platform.HandlerService, ""}, {"VoiceWebhook", platform.HandlerService, ""},
		{"webhook", platform.HandlerCustom, ""}, {"voiceWebhook", platform.HandlerCustom, ""}, {"ice", platform.HandlerCustom, ""}, {"home", platform.HandlerRoot, ""},
	} {
		g, ok := signature.For(tc.name, tc.kind)
		got := ""
		if ok {
			got = g.Scheme.Name() + " " + g.KeyID + " " + strings.Join(g.Secrets, " ")
		}
		if got != tc.want {
			t.Errorf("%s of kind %d: %q, want %q", tc.name, tc.kind, got, tc.want)
		}
	}
}

func TestProtection(t *testing.T) {
	t.Parallel()
	for p, want := range map[signature.Protection][2]bool{ // in dev, deployed
		"": {false, true}, signature.ProtectDeploy: {false, true}, signature.ProtectAlways: {true, true}, signature.ProtectNever: {false, false}, "Never": {true, true}, "off": {true, true},
	} {
		if got := [2]bool{p.Enforced(false), p.Enforced(true)}; got != want {
			t.Errorf("%q: %v, want %v", p, got, want)
		}
	}
}

// A guard without all of its variables shuts the door.
func TestGuard_Keys(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		variables map[string]string
		want      error
	}{
		"both":       {map[string]string{"VOICE_APPLICATION_KEY": "app", "VOICE_APPLICATION_SECRET": secret}, nil},
		"none":       {nil, signature.ErrNoSecret},
		"no key":     {map[string]string{"VOICE_APPLICATION_SECRET": secret}, signature.ErrNoSecret},
		"no secret":  {map[string]string{"VOICE_APPLICATION_KEY": "app"}, signature.ErrNoSecret},
		"empty":      {map[string]string{"VOICE_APPLICATION_KEY": "app", "VOICE_APPLICATION_SECRET": ""}, signature.ErrNoSecret},
		"another's":  {map[string]string{"VOICE_APPLICATION_KEY": "app2", "VOICE_APPLICATION_SECRET": secret}, signature.ErrUnknownKey},
		"the second": {map[string]string{"VOICE_SERVICE_ID": "app", "VOICE_SERVICE_SECRET": secret}, signature.ErrNoSecret},
	} {
		g, ok := signature.For("ice", platform.HandlerCallback)
		if !ok {
			t.Fatal("ice has no guard")
		}
		v := verifier(t, signature.Config{Scheme: g.Scheme, Keys: g.Keys(func(k string) string { return tc.variables[k] })})
		r := senders()[0].request(now)
		if _, err := v.Verify(t.Context(), &r); err != tc.want {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
}

// What a deploy says of callbacks that would be refused.
func TestUnset(t *testing.T) {
	t.Parallel()
	signed := func(name string, kind platform.HandlerKind) platform.Handler {
		return platform.Handler{Name: name, Kind: kind, Guard: platform.GuardSignature}
	}
	all := []platform.Handler{signed("ace", platform.HandlerCallback), signed("ice", platform.HandlerCallback), signed("numbersWebhook", platform.HandlerService),
		{Name: "smsWebhook", Kind: platform.HandlerService, Guard: platform.GuardKey}, {Name: "status", Guard: platform.GuardOpen}}
	for name, tc := range map[string]struct{ variables, want string }{
		"nothing":  {"", "ace, ice: every callback is refused until the function has VOICE_APPLICATION_KEY and VOICE_APPLICATION_SECRET | numbersWebhook: every callback is refused until the function has NUMBERS_CALLBACK_SECRET"},
		"one":      {"VOICE_APPLICATION_KEY=a VOICE_APPLICATION_SECRET=AAAA", "numbersWebhook: every callback is refused until the function has NUMBERS_CALLBACK_SECRET"},
		"no key":   {"VOICE_APPLICATION_SECRET=AAAA NUMBERS_CALLBACK_SECRET=x", "ace, ice: every callback is refused until the function has VOICE_APPLICATION_KEY and VOICE_APPLICATION_SECRET"},
		"no good":  {"VOICE_APPLICATION_KEY=a VOICE_APPLICATION_SECRET=hunter2! NUMBERS_CALLBACK_SECRET=x", "ace, ice: every callback is refused because VOICE_APPLICATION_SECRET is no secret of voice-v1: it is not base64"},
		"all good": {"VOICE_APPLICATION_KEY=a VOICE_APPLICATION_SECRET=AAAA NUMBERS_CALLBACK_SECRET=x", ""},
	} {
		got := signature.Unset(all, func(name string) string {
			_, rest, _ := strings.Cut(" "+tc.variables, " "+name+"=")
			value, _, _ := strings.Cut(rest, " ")
			return value
		})
		if strings.Join(got, " | ") != tc.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}
