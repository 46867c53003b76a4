package devpage

import (
	"fmt"
	"time"

	"postern.dev/postern/internal/devserver"
)

// sample is a callback as its sender could send it.
type sample struct {
	Name, Header, Body string
}

const (
	asJSON = "content-type: application/json"
	asForm = "content-type: application/x-www-form-urlencoded"
)

// samplesOf are bodies to begin with: by the handler where that says what comes,
// else by the scheme.
func samplesOf(c devserver.Callback) []sample {
	now := time.Now().UTC().Format(time.RFC3339)
	call := func(event, more string) []sample {
		return []sample{{event, asJSON, fmt.Sprintf("{\n  \"event\": %q,\n  \"callid\": \"dev-call-1\",\n  \"timestamp\": %q,\n  \"version\": 1%s\n}", event, now, more)}}
	}
	v2 := func(event, more string) sample {
		return sample{event, asJSON, fmt.Sprintf("{\n  \"event\": %q,\n  \"call\": { \"callId\": \"dev-call-1\", \"from\": \"+15550100\", \"to\": \"+15550199\" }%s\n}", event, more)}
	}
	switch c.Handler {
	case "ice":
		return call("ice", ",\n  \"cli\": \"+15550100\",\n  \"to\": { \"type\": \"did\", \"endpoint\": \"+15550199\" },\n  \"domain\": \"pstn\",\n  \"originationType\": \"PSTN\"")
	case "ace":
		return call("ace", ",\n  \"amd\": { \"status\": \"human\", \"reason\": \"greeting\", \"duration\": 3 }")
	case "pie":
		return call("pie", ",\n  \"menuResult\": { \"menuId\": \"main\", \"type\": \"return\", \"value\": \"1\", \"inputMethod\": \"dtmf\" }")
	case "dice":
		return call("dice", ",\n  \"reason\": \"CALLERHANGUP\",\n  \"result\": \"ANSWERED\",\n  \"duration\": 12,\n  \"from\": \"+15550100\"")
	case "notify":
		return call("notify", ",\n  \"type\": \"recording_finished\"")
	case "voiceWebhook":
		return []sample{v2("call.incoming", ""), v2("call.answered", ""), v2("call.menu", ",\n  \"menu\": { \"name\": \"main\", \"value\": \"1\" }"), v2("call.hangup", "")}
	}
	switch c.Scheme {
	case "conversation":
		return []sample{{"a message comes in", asJSON, fmt.Sprintf(`{
  "app_id": "dev-app",
  "accepted_time": %q,
  "message": {
    "id": "dev-message-1",
    "direction": "TO_APP",
    "channel_identity": { "channel": "SMS", "identity": "+15550100" },
    "contact_message": { "text_message": { "text": "Hello" } },
    "contact_id": "dev-contact-1",
    "conversation_id": "dev-conversation-1"
  }
}`, now)}, {"a message was delivered", asJSON, fmt.Sprintf(`{
  "app_id": "dev-app",
  "accepted_time": %q,
  "message_delivery_report": { "message_id": "dev-message-1", "status": "DELIVERED" }
}`, now)}}
	case "numbers":
		return []sample{{"a number was provisioned", asJSON, fmt.Sprintf("{\n  \"eventId\": \"dev-%d\",\n  \"timestamp\": %q,\n  \"projectId\": \"dev-project\",\n  \"resourceId\": \"+15550199\",\n  \"resourceType\": \"ACTIVE_NUMBER\",\n  \"eventType\": \"PROVISIONING_TO_VOICE_PLATFORM\",\n  \"status\": \"SUCCEEDED\"\n}", time.Now().UnixNano(), now)}}
	case "stripe":
		return []sample{{"payment_intent.succeeded", asJSON, fmt.Sprintf("{\n  \"id\": \"evt_dev_%d\",\n  \"object\": \"event\",\n  \"type\": \"payment_intent.succeeded\",\n  \"created\": %d,\n  \"data\": { \"object\": { \"id\": \"pi_dev_1\", \"object\": \"payment_intent\", \"amount\": 1999, \"currency\": \"eur\" } }\n}", time.Now().UnixNano(), time.Now().Unix())}}
	case "github":
		return []sample{{"push", asJSON + "\nx-github-event: push\nx-github-delivery: dev-delivery-1", "{\n  \"ref\": \"refs/heads/main\",\n  \"repository\": { \"full_name\": \"octo/hello\" },\n  \"pusher\": { \"name\": \"octocat\" },\n  \"commits\": []\n}"},
			{"ping", asJSON + "\nx-github-event: ping\nx-github-delivery: dev-delivery-2", "{\n  \"zen\": \"Keep it logically awesome.\",\n  \"hook_id\": 1\n}"}}
	case "slack":
		return []sample{{"a command", asForm, "command=%2Fhello&text=world&user_id=U0DEV&channel_id=C0DEV&team_id=T0DEV&trigger_id=1.2.3"},
			{"an event", asJSON, "{\n  \"type\": \"event_callback\",\n  \"team_id\": \"T0DEV\",\n  \"event\": { \"type\": \"app_mention\", \"user\": \"U0DEV\", \"text\": \"hello\" }\n}"}}
	case "standard-webhooks":
		return []sample{{"an event", asJSON, fmt.Sprintf("{\n  \"type\": \"invoice.paid\",\n  \"timestamp\": %q,\n  \"data\": { \"id\": \"inv_dev_1\" }\n}", now)}}
	}
	return []sample{{"an event", asJSON, fmt.Sprintf("{\n  \"type\": \"example\",\n  \"timestamp\": %q\n}", now)}}
}
