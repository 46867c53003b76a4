package bundle_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"postern.dev/postern/internal/bundle"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/worker"
)

// installed is where the official SDK lies, unmodified.
const installed = "../../test/clients/node_modules"

// provider plays the token endpoint and the APIs, and keeps what it was asked.
type provider struct {
	*httptest.Server
	mu    sync.Mutex
	asked []string // guarded by mu
}

func newProvider(t *testing.T) *provider {
	p := &provider{}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	return p
}

func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	p.mu.Lock()
	p.asked = append(p.asked, fmt.Sprintf("%s %s %s %s", r.Method, r.URL.Path, scheme, body))
	p.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	switch id, secret, _ := r.BasicAuth(); {
	case r.URL.Path == "/oauth2/token" && id == "key" && secret == "key-secret":
		claims := base64.RawURLEncoding.EncodeToString([]byte(`{"exp":99999999999}`))
		fmt.Fprintf(w, `{"access_token":"h.%s.s","expires_in":3599,"scope":"","token_type":"bearer"}`, claims)
	case scheme == "Bearer" || scheme == "Application":
		io.WriteString(w, `{"id":"b-1","message_id":"m-1","callId":"c-1","activeNumbers":[]}`)
	default:
		w.WriteHeader(http.StatusUnauthorized)
	}
}

// start builds a project and starts a worker of it with variables.
func start(t *testing.T, dir string, variables map[string]string) *worker.Worker {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatal("Node is needed: ", err)
	}
	built, err := bundle.Build(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	archive, err := bundle.Open(built.Archive)
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "out")
	if err := archive.Extract(out); err != nil {
		t.Fatal(err)
	}
	env := []string{"PATH=" + filepath.Dir(node)}
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		env = append(env, name+"="+variables[name])
	}
	w, err := worker.Start(t.Context(), worker.Spec{Argv: []string{node, "--enable-source-maps", bundle.Entry}, Dir: out, Env: env, Log: func(worker.Line) {}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Kill("test over") })
	return w
}

// post calls a handler with JSON, and returns status and body.
func post(t *testing.T, w *worker.Worker, handler, body string) string {
	t.Helper()
	r := worker.Request{ID: "req_1", Method: "POST", Handler: handler, Path: "/" + handler, ClientIP: "192.0.2.1", AuthMethod: "none", Host: "h",
		Header: http.Header{"Content-Type": {"application/json"}}, Body: strings.NewReader(body)}
	res, err := w.Do(t.Context(), &r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Close()
	answer, err := io.ReadAll(res)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(fmt.Sprintf("%d %s", res.Status, answer))
}

// run starts a project and calls its only handler.
func run(t *testing.T, dir string, variables map[string]string) string {
	t.Helper()
	return strings.TrimPrefix(post(t, start(t, dir, variables), "call", "{}"), "200 ")
}

// withSDK is a project that depends on the SDK and has it installed.
func withSDK(t *testing.T, source string) string {
	t.Helper()
	dir := project(t, map[string]string{"postern.json": manifest, "package.json": `{"dependencies":{"@sinch/sdk-core":"1.4.0"}}`, "function.ts": source})
	modules, err := filepath.Abs(installed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(modules); err != nil {
		t.Fatalf("%v: run scripts/install-test-tools, or npm ci --ignore-scripts in test/clients", err)
	}
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	return dir
}

const useEachClient = `import type { FunctionContext } from '@postern/functions';
export const call = async ({ conversation, sms, numbers, voice }: FunctionContext) => {
  const message = { sendMessageRequestBody: { app_id: 'app', recipient: { contact_id: 'c' }, message: { text_message: { text: 'hi' } } } };
  const sent = await Promise.all([conversation!.messages.send(message), conversation!.messages.send(message)]);
  await conversation!.messages.send(message);
  await sms!.batches.send({ sendSMSRequestBody: { to: ['+15550001'], from: '+15550002', body: 'hi' } });
  await numbers!.list({ regionCode: 'US', type: 'LOCAL' });
  await voice!.v1.callouts.tts({ ttsCalloutRequestBody: { method: 'ttsCallout', ttsCallout: { destination: { type: 'number', endpoint: '+15550001' }, text: 'hi' } } });
  return sent.map((s: any) => s.message_id);
};
`

// The official SDK, unmodified and bundled, against a server that plays the
// provider: the client is made once, so its token is got once.
func TestSDK_ClientsCallTheHostsOfTheirVariables(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	got := run(t, withSDK(t, useEachClient), map[string]string{
		"SINCH_PROJECT_ID": "proj", "SINCH_KEY_ID": "key", "SINCH_KEY_SECRET": "key-secret", "SINCH_AUTH_HOSTNAME": p.URL + "/",
		"CONVERSATION_APP_ID": "app", "SINCH_CONVERSATION_HOSTNAME": p.URL + "/conversation",
		"SMS_SERVICE_PLAN_ID": "plan", "SMS_API_TOKEN": "plan-token", "SINCH_SMS_HOSTNAME": p.URL + "/sms",
		"ENABLE_NUMBERS_API": "true", "SINCH_NUMBERS_HOSTNAME": p.URL + "/numbers",
		"VOICE_APPLICATION_KEY": "app-key", "VOICE_APPLICATION_SECRET": "YXBwLXNlY3JldA==", "SINCH_VOICE_HOSTNAME": p.URL + "/voice",
	})
	if got != `["m-1","m-1"]` {
		t.Error(got)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	const send = `POST /conversation/v1/projects/proj/messages:send Bearer {"app_id":"app","recipient":{"contact_id":"c"},"message":{"text_message":{"text":"hi"}}}`
	want := []string{
		"POST /oauth2/token Basic grant_type=client_credentials", send, send, send,
		`POST /sms/xms/v1/plan/batches Bearer {"to":["+15550001"],"from":"+15550002","body":"hi"}`,
		"POST /oauth2/token Basic grant_type=client_credentials", "GET /numbers/v1/projects/proj/activeNumbers Bearer ",
		`POST /voice/calling/v1/callouts Application {"method":"ttsCallout","ttsCallout":{"destination":{"type":"number","endpoint":"+15550001"},"text":"hi"}}`,
	}
	if d := cmp.Diff(want, p.asked); d != "" {
		t.Error(d)
	}
}

// Without a variable of their own the clients go to the provider, in the region
// that is asked for. Nothing is sent here.
func TestSDK_HostsFollowTheRegion(t *testing.T) {
	t.Parallel()
	dir := withSDK(t, `import type { FunctionContext } from '@postern/functions';
const host = (lazy: any): string => lazy.getApiClient().apiClientOptions.hostname;
export const call = ({ conversation, sms, numbers, voice }: FunctionContext) => [conversation && host((conversation as any).lazyConversationClient),
  sms && host((sms as any).lazyClient), numbers && host((numbers as any).lazyClient), voice && host((voice as any).lazyVoiceClient)];
`)
	key := map[string]string{"SINCH_PROJECT_ID": "proj", "SINCH_KEY_ID": "key", "SINCH_KEY_SECRET": "key-secret"}
	for _, tc := range []struct {
		name      string
		variables map[string]string
		want      []string
	}{
		{"nothing is unlocked", nil, []string{"", "", "", ""}},
		{"each by itself", map[string]string{"CONVERSATION_APP_ID": "app"}, []string{"https://us.conversation.api.sinch.com", "", "", ""}},
		{"an empty variable is missing", map[string]string{"CONVERSATION_APP_ID": "", "SMS_SERVICE_PLAN_ID": "", "ENABLE_NUMBERS_API": ""}, []string{"", "", "", ""}},
		{"the defaults", map[string]string{"CONVERSATION_APP_ID": "app", "SMS_SERVICE_PLAN_ID": "plan", "ENABLE_NUMBERS_API": "true", "VOICE_APPLICATION_KEY": "k", "VOICE_APPLICATION_SECRET": "cw=="},
			[]string{"https://us.conversation.api.sinch.com", "https://zt.us.sms.api.sinch.com", "https://numbers.api.sinch.com", "https://calling.api.sinch.com"}},
		{"regions", map[string]string{"CONVERSATION_APP_ID": "app", "CONVERSATION_REGION": "EU", "SMS_SERVICE_PLAN_ID": "plan", "SMS_API_TOKEN": "t", "SMS_REGION": "br", "VOICE_APPLICATION_KEY": "k", "VOICE_APPLICATION_SECRET": "cw==", "VOICE_REGION": "euc1"},
			[]string{"https://eu.conversation.api.sinch.com", "https://br.sms.api.sinch.com", "", "https://calling-euc1.api.sinch.com"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			variables := maps.Clone(key)
			maps.Copy(variables, tc.variables)
			var got []string // null is an empty string
			if err := json.Unmarshal([]byte(run(t, dir, variables)), &got); err != nil || !slices.Equal(got, tc.want) {
				t.Errorf("got %v, %v; want %v", got, err, tc.want)
			}
		})
	}
}

// A project that does not name the package is told so when it asks for a
// client whose variables are there; it gets nothing that lies about.
func TestSDK_NotNamedInPackageJSON(t *testing.T) {
	t.Parallel()
	const source = "export const call = (context: any) => { try { return context.sms; } catch (err: any) { return err.message; } };\n"
	variables := map[string]string{"SMS_SERVICE_PLAN_ID": "plan", "SMS_API_TOKEN": "plan-token"}
	for name, files := range map[string]map[string]string{
		"no package.json":  {},
		"another package":  {"package.json": `{"dependencies":{"left":"1"}}`},
		"lies about, only": {"node_modules/@sinch/sdk-core/package.json": `{"main":"index.js"}`, "node_modules/@sinch/sdk-core/index.js": "exports.SmsService = class {};\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files["postern.json"], files["function.ts"] = manifest, source
			const want = "context.sms needs the package @sinch/sdk-core: npm install @sinch/sdk-core, and deploy again"
			if got := run(t, project(t, files), variables); got != want {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestSDK_NamedAndNotInstalled(t *testing.T) {
	t.Parallel()
	dir := project(t, map[string]string{"postern.json": manifest, "package.json": `{"devDependencies":{"@sinch/sdk-core":"1.4.0"}}`, "function.ts": "export const a = () => 1;\n"})
	_, err := bundle.Build(t.Context(), dir)
	var f *fault.Error
	if !errors.As(err, &f) || f.Code != "bundle_failed" || f.Error() != "package.json names the package @sinch/sdk-core, which is not installed" || !strings.HasSuffix(f.Hint, "npm install @sinch/sdk-core") {
		t.Errorf("got %v", err)
	}
}

// What a function pays for a package that it never uses is a name: the package
// is a file of its own, which nobody reads.
func TestSDK_FileOfItsOwn(t *testing.T) {
	t.Parallel()
	const source = "export const call = (context: any) => context.sms;\n"
	dir := withSDK(t, source)
	built, err := bundle.Build(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	without, err := bundle.Build(t.Context(), project(t, map[string]string{"postern.json": manifest, "function.ts": source}))
	if err != nil {
		t.Fatal(err)
	}
	with, bare := len(unpack(t, built.Archive, "worker.mjs")), len(unpack(t, without.Archive, "worker.mjs"))
	if sdk := len(unpack(t, built.Archive, "sdk.cjs")); sdk < 500_000 || with > bare+200 {
		t.Errorf("the SDK has %d bytes; the worker %d with it and %d without", sdk, with, bare)
	}
	if strings.Contains(unpack(t, built.Archive, "sdk.cjs"), installed) {
		t.Error("the SDK's file names a directory of this machine")
	}
	again, err := bundle.Build(t.Context(), withSDK(t, source))
	if err != nil || again.Hash != built.Hash {
		t.Errorf("the same project in another directory gives another artefact (%v)", err)
	}
}

// The example answers through the SDK; what is no event is refused, and
// nothing is sent.
func TestSDK_ConversationControllerAnswers(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	w := start(t, "../../examples/sms", map[string]string{
		"SINCH_PROJECT_ID": "proj", "SINCH_KEY_ID": "key", "SINCH_KEY_SECRET": "key-secret", "SINCH_AUTH_HOSTNAME": p.URL,
		"CONVERSATION_APP_ID": "app", "SINCH_CONVERSATION_HOSTNAME": p.URL, "FROM_NUMBER": "+15550100", "OPENING_HOURS": "always",
	})
	const inbound = `{"app_id":"app","project_id":"proj","message":{"id":"m","direction":"TO_APP","contact_message":%s,"channel_identity":{"channel":"SMS","identity":"+15550001","app_id":""},"contact_id":"c","sender_id":"+15550100"}}`
	for _, tc := range []struct{ name, body, answer, sent string }{
		{"a word", fmt.Sprintf(inbound, `{"text_message":{"text":" hours "}}`), "200", "We are open always."},
		{"another", fmt.Sprintf(inbound, `{"text_message":{"text":"grüß"}}`), "200", "Thank you, we have your message. HELP tells what we understand."},
		{"a picture", fmt.Sprintf(inbound, `{"media_message":{"url":"https://a.test/x.png"}}`), "200", ""},
		{"a report", `{"app_id":"app","message_delivery_report":{"status":"FAILED"}}`, "200", ""},
		{"an event without a method", `{"app_id":"app","opt_in_notification":{}}`, "200", ""},
		{"no event", `{"app_id":"app"}`, `400 {"error":"this is no event of the Conversation API: the body has no event that is known"}`, ""},
		{"half a message", `{"app_id":"app","message":{"id":"m"}}`, `400 {"error":"this is no event of the Conversation API: message has no contact_message"}`, ""},
	} {
		if got := post(t, w, "conversationWebhook", tc.body); got != tc.answer {
			t.Errorf("%s: got %s", tc.name, got)
		}
		p.mu.Lock()
		want := []string{`POST /v1/projects/proj/messages:send Bearer {"app_id":"app","recipient":{"identified_by":{"channel_identities":[{"channel":"SMS","identity":"+15550001"}]}},` +
			`"message":{"text_message":{"text":"` + tc.sent + `"}},"channel_properties":{"SMS_SENDER":"+15550100"}}`}
		if tc.sent == "" {
			want = nil
		}
		asked := slices.DeleteFunc(p.asked, func(s string) bool { return strings.HasPrefix(s, "POST /oauth2/token") })
		if d := cmp.Diff(want, asked, cmpopts.EquateEmpty()); d != "" {
			t.Errorf("%s: %s", tc.name, d)
		}
		p.asked = nil
		p.mu.Unlock()
	}
}

// A function's own tests are not deployed, nor what they are written with.
func TestBuild_RefusesTheModuleForTests(t *testing.T) {
	t.Parallel()
	dir := project(t, map[string]string{"postern.json": manifest, "function.ts": "import { testing } from '@postern/functions/testing';\nexport const a = () => testing;\n"})
	if _, err := bundle.Build(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "function.ts:1") || !strings.Contains(err.Error(), "is for the function's own tests") {
		t.Errorf("got %v", err)
	}
}
