package signature

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"postern.dev/postern/internal/platform"
)

// custom schemes have no other name in verdicts and logs.
const customName = "custom"

// voiceKeys are the variables that hold the sender's name for its key, where a
// guard names none.
var voiceKeys = map[string]string{"voice-v1": "VOICE_APPLICATION_KEY", "voice-v2": "VOICE_SERVICE_ID"}

// Names are the schemes that a manifest or a policy may name.
var Names = []string{"voice-v1", "voice-v2", "conversation", "numbers", "standard-webhooks", "stripe", "github", "slack", customName}

// maxSecrets bounds the HMACs that one callback may cost.
const maxSecrets = 4

// Named is the guard that somebody described, or what is wrong with it. What is
// said of a scheme and would mean nothing is an error, so that nobody relies on
// a check that is not there. Whether the function has these variables is not
// for Named to say.
func Named(s *platform.Signature) (Guard, error) {
	scheme, err := schemeOf(s)
	if err != nil {
		return Guard{}, err
	}
	g := Guard{Scheme: scheme, KeyID: s.KeyID, Secrets: s.Secrets, Window: s.Window}
	if own, ok := voiceKeys[scheme.Name()]; ok && g.KeyID == "" {
		g.KeyID = own
	} else if !ok && g.KeyID != "" {
		return Guard{}, fmt.Errorf("the scheme %s has no name for its key: keyId says nothing", scheme.Name())
	}
	switch {
	case len(s.Secrets) == 0:
		return Guard{}, errors.New("no secret is named")
	case len(s.Secrets) > maxSecrets:
		return Guard{}, fmt.Errorf("more than %d secrets are named", maxSecrets)
	case s.Window < 0 || s.Window > maxWindow || s.Window > 0 && s.Window < time.Second:
		return Guard{}, fmt.Errorf("the window must be between a second and %v", maxWindow)
	case s.Window > 0 && !timed(scheme):
		return Guard{}, fmt.Errorf("the scheme %s signs no time: a window says nothing", scheme.Name())
	}
	for i, name := range s.Secrets {
		if name == "" || slices.Contains(s.Secrets[:i], name) || name == g.KeyID {
			return Guard{}, fmt.Errorf("the secret %.64q is none, or is named twice", name)
		}
	}
	return g, nil
}

func schemeOf(s *platform.Signature) (Scheme, error) {
	if (s.Custom != nil) != (s.Scheme == customName) {
		return nil, errors.New(`a scheme of your own has "scheme": "custom" and is described by custom`)
	}
	switch s.Scheme {
	case "voice-v1":
		return VoiceV1(), nil
	case "voice-v2":
		return VoiceV2(), nil
	case "conversation":
		return Conversation(), nil
	case "numbers":
		return Numbers(), nil
	case "standard-webhooks":
		return Standard(), nil
	case "stripe":
		return Stripe.Scheme()
	case "github":
		return GitHub.Scheme()
	case "slack":
		return Slack.Scheme()
	case customName:
		return customOf(s.Custom).Scheme()
	}
	return nil, fmt.Errorf("the scheme %.64q is not one of %s", s.Scheme, strings.Join(Names, ", "))
}

func customOf(s *platform.SignatureScheme) Custom {
	return Custom{Name: customName, Header: s.Header, Prefix: s.Prefix, SignatureField: s.SignatureField, TimestampHeader: s.TimestampHeader, TimestampField: s.TimestampField,
		Signed: s.Signed, Encoding: s.Encoding, Hash: s.Hash, SecretEncoding: s.SecretEncoding, IDMember: s.IDMember}
}

// Field is a text of a scheme that is described as data, with its name in
// manifests and policies.
type Field struct {
	Name  string
	Value *string
}

// Fields are the texts of a described scheme, in the order in which they are
// written.
func Fields(s *platform.SignatureScheme) []Field {
	return []Field{{"header", &s.Header}, {"prefix", &s.Prefix}, {"signatureField", &s.SignatureField}, {"timestampHeader", &s.TimestampHeader}, {"timestampField", &s.TimestampField},
		{"signed", &s.Signed}, {"encoding", &s.Encoding}, {"hash", &s.Hash}, {"secretEncoding", &s.SecretEncoding}, {"idMember", &s.IDMember}}
}

// timed reports whether a scheme signs a time.
func timed(s Scheme) bool {
	switch s := s.(type) {
	case numbers:
		return false
	case *custom:
		return s.TimestampHeader != "" || s.TimestampField != ""
	}
	return true
}
