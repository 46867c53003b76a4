package main_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// provider plays the token endpoint and the Conversation API, and keeps what it
// was sent.
type provider struct {
	*httptest.Server
	mu   sync.Mutex
	sent []string // guarded by mu
}

func newProvider(t *testing.T) *provider {
	p := &provider{}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	return p
}

func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	token := "h." + base64.RawURLEncoding.EncodeToString([]byte(`{"exp":99999999999}`)) + ".s"
	w.Header().Set("Content-Type", "application/json")
	switch id, secret, _ := r.BasicAuth(); {
	case r.URL.Path == "/oauth2/token" && id == "key" && secret == "key-secret":
		fmt.Fprintf(w, `{"access_token":%q,"expires_in":3599,"scope":"","token_type":"bearer"}`, token)
	case r.URL.Path == "/v1/projects/proj/messages:send" && r.Header.Get("Authorization") == "Bearer "+token:
		p.mu.Lock()
		p.sent = append(p.sent, string(body))
		p.mu.Unlock()
		io.WriteString(w, `{"message_id":"m-1"}`)
	default:
		w.WriteHeader(http.StatusUnauthorized)
	}
}

// taken is what it was sent since it was asked the last time.
func (p *provider) taken() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	sent := p.sent
	p.sent = nil
	return sent
}

// letIn sends a callback, which must be answered with status, and again, which
// must not be let in; and before, in the ways in which it must not be either.
func (g *target) letIn(what string, right hook, status int) (answer string) {
	g.Helper()
	try := func(how string, change func(h *hook), changeSigned func(h *hook)) {
		g.Helper()
		h := right
		change(&h)
		h.headers = h.sign(&h)
		changeSigned(&h)
		if status, answer := g.exchange(h.text()); status != 401 || !strings.Contains(answer, `"signature_required"`) {
			g.Errorf("%s, %s: %d %s", what, how, status, answer)
		}
	}
	nothing := func(*hook) {}
	try("by somebody else", func(h *hook) { h.secret = "bm90IG91cnM=" }, nothing)
	try("late", func(h *hook) { h.at = h.at.Add(-6 * time.Minute) }, nothing)
	try("of tomorrow", func(h *hook) { h.at = h.at.Add(24 * time.Hour) }, nothing)
	try("another body", nothing, func(h *hook) { h.body += " " })
	try("unsigned", nothing, func(h *hook) { h.headers = nil })
	try("with an access key", nothing, func(h *hook) { h.headers = []string{"Authorization: " + g.basic} })
	right.headers = right.sign(&right)
	got, answer := g.exchange(right.text())
	if got != status {
		g.Errorf("%s: %d %s; want %d", what, got, answer, status)
	}
	if got < 500 {
		try("again", nothing, nothing)
	}
	return answer
}

// Contacts write to examples/sms by the Conversation API, and are answered by it;
// nobody else has a message sent.
func TestExamples_SMS(t *testing.T) {
	t.Parallel()
	g := newSite(t).target()
	p := newProvider(t)
	_, said := g.example("sms", "CONVERSATION_APP_ID=app", "CONVERSATION_WEBHOOK_SECRET=talk", "FROM_NUMBER=+15550100", "OPENING_HOURS=always",
		"SINCH_PROJECT_ID=proj", "SINCH_KEY_ID=key", "SINCH_KEY_SECRET=key-secret", "SINCH_AUTH_HOSTNAME="+p.URL, "SINCH_CONVERSATION_HOSTNAME="+p.URL)
	if strings.Contains(said, "refused until") || strings.Contains(said, "key-secret") {
		t.Errorf("the deploy says: %s", said)
	}
	nonce := 0
	conversation := func(h *hook) []string {
		n := fmt.Sprintf("01FJA%03d", nonce)
		m := base64.StdEncoding.EncodeToString(mac(sha256.New, h.secret, h.body+"."+n+"."+h.unix()))
		return []string{"x-sinch-webhook-signature-algorithm: HmacSHA256", "x-sinch-webhook-signature-nonce: " + n, "x-sinch-webhook-signature-timestamp: " + h.unix(), "x-sinch-webhook-signature: " + m}
	}
	const inbound = `{"app_id":"app","accepted_time":"2026-01-02T03:04:05Z","event_time":"2026-01-02T03:04:05Z","project_id":"proj","message":{"id":"m","direction":"TO_APP","contact_message":%s,"channel_identity":{"channel":"SMS","identity":"+15550001","app_id":""},"conversation_id":"v","contact_id":"c","sender_id":"+15550100"}}`
	for _, tc := range []struct {
		name, body string
		status     int
		sent       string
	}{
		{"a word", fmt.Sprintf(inbound, `{"text_message":{"text":" hours "}}`), 200, "We are open always."},
		{"HELP", fmt.Sprintf(inbound, `{"text_message":{"text":"HELP"}}`), 200, "Write HOURS, and we tell you when we are open."},
		{"anything", fmt.Sprintf(inbound, `{"text_message":{"text":"grüß \"Gott\""}}`), 200, "Thank you, we have your message. HELP tells what we understand."},
		{"a picture", fmt.Sprintf(inbound, `{"media_message":{"url":"https://a.test/x.png"}}`), 200, ""},
		{"an answer that did not arrive", `{"app_id":"app","message_delivery_report":{"message_id":"m-1","status":"FAILED","channel_identity":{"channel":"SMS","identity":"+15550001"},"reason":{"code":"RECIPIENT_NOT_REACHABLE"}}}`, 200, ""},
		{"no event", `{"app_id":"app"}`, 400, ""},
	} {
		nonce++
		g.letIn(tc.name, hook{method: "POST", path: "/fn/sms/webhook/conversation", body: tc.body, secret: "talk", at: time.Now(), sign: conversation}, tc.status)
		var want []string
		if tc.sent != "" {
			want = []string{`{"app_id":"app","recipient":{"identified_by":{"channel_identities":[{"channel":"SMS","identity":"+15550001"}]}},"message":{"text_message":{"text":"` + tc.sent + `"}},"channel_properties":{"SMS_SENDER":"+15550100"}}`}
		}
		if diff := cmp.Diff(want, p.taken()); diff != "" {
			t.Errorf("%s: %s", tc.name, diff)
		}
	}
	if log := g.logs("sms"); strings.Count(log, "an answer to +15550001 did not arrive: RECIPIENT_NOT_REACHABLE") != 1 {
		t.Errorf("the log: %s", log)
	}
}

// A shop sends orders to examples/webhook-secret with the library of the scheme,
// and gets receipts that nobody else could write.
func TestExamples_WebhookSecret(t *testing.T) {
	t.Parallel()
	g := newSite(t).target()
	const whsec, receipts = "Y2hhbmdlLW1lLXBsZWFzZQ==", "only-we-know-this"
	message := 0
	standard := func(h *hook) []string {
		sender, err := standardwebhooks.NewWebhook("whsec_" + h.secret)
		if err != nil {
			t.Fatal(err)
		}
		id := fmt.Sprint("msg_", message)
		signature, err := sender.Sign(id, h.at, []byte(h.body))
		if err != nil {
			t.Fatal(err)
		}
		return []string{"webhook-id: " + id, "webhook-timestamp: " + h.unix(), "webhook-signature: " + signature}
	}
	order := func(body string, status int) (answer string) {
		t.Helper()
		message++
		return g.letIn(body, hook{method: "POST", path: "/fn/webhook-secret/orders", body: body, secret: whsec, at: time.Now(), sign: standard}, status)
	}

	// As it lies there it lets nobody in, and says so.
	_, said := g.example("webhook-secret")
	if !strings.Contains(said, "POST /orders: every callback is refused until the function has ORDERS_SECRET") {
		t.Errorf("the deploy says: %s", said)
	}
	h := hook{method: "POST", path: "/fn/webhook-secret/orders", body: `{"order":"1"}`, secret: whsec, at: time.Now()}
	h.headers = standard(&h)
	if status, answer := g.exchange(h.text()); status != 401 {
		t.Errorf("before there is a secret: %d %s", status, answer)
	}

	// Without the other secret the handler fails, and its log says what to do.
	g.example("webhook-secret", "ORDERS_SECRET=whsec_"+whsec)
	if answer := order(`{"order":"2"}`, 500); strings.Contains(answer, "RECEIPT_SECRET") {
		t.Errorf("the sender is told %s", answer)
	}
	if log := g.logs("webhook-secret"); strings.Count(log, `the secret RECEIPT_SECRET is not set: postern secrets add RECEIPT_SECRET, and deploy again`) != 1 {
		t.Errorf("the log does not say what to do: %s", log)
	}

	_, said = g.example("webhook-secret", "ORDERS_SECRET=whsec_"+whsec, "RECEIPT_SECRET="+receipts)
	var got struct{ Receipt, Signature string }
	answer := order(`{"order":"3"}`, 201)
	if err := json.Unmarshal([]byte(answer), &got); err != nil || !strings.HasPrefix(got.Receipt, "Acme Corp took order 3 at 20") {
		t.Errorf("%s %v", answer, err)
	}
	m := hmac.New(sha256.New, []byte(receipts))
	io.WriteString(m, got.Receipt)
	if got.Signature != hex.EncodeToString(m.Sum(nil)) {
		t.Errorf("the receipt is not signed with its secret: %s", answer)
	}
	order(`{"order":""}`, 400)
	order(`{"order":{"$ne":1}}`, 400)
	log := g.logs("webhook-secret")
	if strings.Count(log, "order 3 in message msg_") != 1 || strings.Count(log, "in message") != 1 {
		t.Errorf("others than the shop were taken: %s", log)
	}
	for _, secret := range []string{whsec, receipts} {
		if strings.Contains(log+said+answer+g.log(), secret) {
			t.Errorf("a secret is told")
		}
	}
}
