package main_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"
)

// phone is a telephone network: it sends what the application signs, and what
// somebody else does who knows everything but the secret.
type phone struct {
	*target
	name string // of the function
}

// rings sends a callback, which must be answered with a text that has wanted in
// it; and sends it again, which must not.
func (p phone) rings(what, event, body, wanted string) {
	p.Helper()
	request := callback("/fn/"+p.name+"/"+event, body).signed()
	if status, got := p.exchange(request); status != 200 || !strings.Contains(got, wanted) {
		p.Errorf("%s: %d %s; want %s", what, status, got, wanted)
	}
	if status, got := p.exchange(request); status != 401 {
		p.Errorf("%s, again: %d %s", what, status, got)
	}
}

// refused sends a callback in all the ways in which it must not be let in: by
// others, late, for another body or path, unsigned, with an access key.
func (p phone) refused(what, event, body string) {
	p.Helper()
	path := "/fn/" + p.name + "/" + event
	right := callback(path, body)
	forged, stale := right, right
	forged.secret, stale.at = otherSecret, right.at.Add(-6*time.Minute)
	for how, request := range map[string]string{
		"by somebody else": forged.signed(), "late": stale.signed(), "for another body": right.request(callback(path, body+" ").sign()),
		"for another path": right.request(callback("/fn/"+p.name+"/x/"+event, body).sign()), "unsigned": right.request("", ""), "with an access key": right.request(p.basic, ""),
	} {
		if status, got := p.exchange(request); status != 401 || !strings.Contains(got, "signature_required") {
			p.Errorf("%s, %s: %d %s", what, how, status, got)
		}
	}
}

// A caller goes through the menus of the example, callback by signed callback.
func TestExamples_IVR(t *testing.T) {
	t.Parallel()
	g := newSite(t).target()
	p := phone{g, "ivr"}
	g.example("ivr", "VOICE_APPLICATION_KEY=app", "VOICE_APPLICATION_SECRET="+voiceSecret)
	pie := func(menu, kind, value string) string {
		return `{"event":"pie","callid":"c-1","version":1,"menuResult":{"menuId":"` + menu + `","type":"` + kind + `","value":"` + value + `","inputMethod":"dtmf"}}`
	}
	for _, tc := range []struct{ name, event, body, want string }{
		{"a call", "ice", `{"event":"ice","callid":"c-1","cli":"+15551230000","to":{"type":"number","endpoint":"+15559990000"},"version":1}`, `{"instructions":[{"name":"answer"}],"action":{"name":"runMenu","mainMenu":"main","menus":[{"id":"main","mainPrompt":"#tts[Thank you for calling Acme Corp. Press 1 for sales`},
		{"1", "pie", pie("main", "return", "sales"), `{"instructions":[{"name":"say","text":"Connecting you to sales.","locale":"en-US"}],"action":{"name":"connectPstn","number":"+15551110001","dialTimeout":20}}`},
		{"2", "pie", pie("main", "return", "support"), `"action":"return(no_consent)"`},
		{"2, and 1", "pie", pie("main", "return", "consent"), `{"instructions":[{"name":"startRecording"}],"action":{"name":"connectPstn","number":"+15551110002"}}`},
		{"3, and 101", "pie", pie("extension", "sequence", "101"), `"action":{"name":"connectPstn","number":"+15551110101"}`},
		{"3, and an extension that is not there", "pie", pie("extension", "sequence", "999"), `"text":"There is no such extension."`},
		{"3, and what no telephone sends", "pie", pie("extension", "sequence", "__proto__"), `"text":"There is no such extension."`},
		{"a choice that is none", "pie", pie("main", "return", "root"), `"text":"That is none of the choices."`},
		{"nothing", "pie", pie("main", "timeout", ""), `"action":{"name":"hangup"}`},
		{"the end", "dice", `{"event":"dice","callid":"c-1","reason":"CALLERHANGUP","result":"ANSWERED","duration":12}`, `{}`},
	} {
		p.rings(tc.name, tc.event, tc.body, tc.want)
		p.refused(tc.name, tc.event, tc.body)
	}
	if log := g.logs("ivr"); strings.Count(log, "call c-1 to +15559990000") != 1 || strings.Count(log, "call c-1 is over: CALLERHANGUP, 12 s") != 1 {
		t.Errorf("the log tells of other calls than those that were let in: %s", log)
	}
}

// The calls of an application that its function is told of, and no others, are in
// its cache, for all of its versions; who has a key may look at them.
func TestExamples_Routing(t *testing.T) {
	t.Parallel()
	g := newSite(t).target()
	variables := []string{"VOICE_APPLICATION_KEY=app", "VOICE_APPLICATION_SECRET=" + voiceSecret, "DAYS=Mon Tue Wed Thu Fri Sat Sun", "OPENS=00:00", "CLOSES=24:00"}
	url, _ := g.example("routing", variables...)
	p := phone{g, "routing"}
	ice := func(id string) string {
		return fmt.Sprintf(`{"event":"ice","callid":%q,"cli":"+15551230000","to":{"type":"number","endpoint":"+15559990000"},"version":1}`, id)
	}
	pie := func(id, value string) string {
		return fmt.Sprintf(`{"event":"pie","callid":%q,"version":1,"menuResult":{"menuId":"main","type":"return","value":%q,"inputMethod":"dtmf"}}`, id, value)
	}
	ace := func(id string) string { return fmt.Sprintf(`{"event":"ace","callid":%q,"version":1}`, id) }
	dice := func(id string) string {
		return fmt.Sprintf(`{"event":"dice","callid":%q,"reason":"CALLERHANGUP","result":"ANSWERED","duration":12,"version":1}`, id)
	}
	active := func() (calls []string) {
		t.Helper()
		status, body := call(t, g.client, "GET", url+"/status", g.key["POSTERN_KEY_ID"], g.key["POSTERN_KEY_SECRET"], "")
		var got struct {
			Active []struct{ Callid, From, State, Team string }
		}
		if err := json.Unmarshal([]byte(body), &got); err != nil || status != 200 {
			t.Fatal(status, body)
		}
		for _, c := range got.Active {
			calls = append(calls, c.Callid+" "+c.From+" "+c.State+" "+c.Team)
		}
		return calls
	}
	same := func(when string, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, active()); diff != "" {
			t.Errorf("%s: %s", when, diff)
		}
	}
	same("before any")
	for _, key := range [][2]string{{"", ""}, {g.key["POSTERN_KEY_ID"], "psk_x"}} {
		if status, body := call(t, g.client, "GET", url+"/status", key[0], key[1], ""); status != 401 {
			t.Errorf("the status, for %q: %d %s", key[0], status, body)
		}
	}
	p.refused("a call", "ice", ice("c-0"))
	same("after calls that were refused")
	p.rings("a call", "ice", ice("c-1"), `{"instructions":[{"name":"answer"}],"action":{"name":"runMenu"`)
	p.rings("another", "ice", ice("c-2"), `"action":{"name":"runMenu"`)
	same("two calls", "c-1 +15551230000 choosing ", "c-2 +15551230000 choosing ")
	p.refused("a choice", "pie", pie("c-1", "support"))
	p.rings("2", "pie", pie("c-1", "support"), `"action":{"name":"connectPstn","number":"+15551110002","maxDuration":3600,"suppressCallbacks":false}`)
	p.rings("a choice that is none", "pie", pie("c-2", "__proto__"), `"action":{"name":"hangup"}`)
	p.rings("a choice in a call that nobody knows", "pie", pie("c-9", "sales"), `"action":{"name":"hangup"}`)
	same("one chose", "c-1 +15551230000 ringing support", "c-2 +15551230000 choosing ")
	p.refused("an answer", "ace", ace("c-1"))

	// Another version knows the calls, although it is closed by now.
	g.example("routing", append(variables, "CLOSES=00:00")...)
	p.rings("a call at night", "ice", ice("c-3"), `"text":"We are open from 00:00 to 00:00. Goodbye."`)
	p.rings("the team answers", "ace", ace("c-1"), `{"instructions":[{"name":"say","text":"A call for support.","locale":"en-US"}],"action":{"name":"continue"}}`)
	p.rings("somebody answers whom nobody called", "ace", ace("c-9"), `{"action":{"name":"hangup"}}`)
	same("one is answered", "c-1 +15551230000 talking support", "c-2 +15551230000 choosing ")
	p.refused("an end", "dice", dice("c-1"))
	same("no end was told", "c-1 +15551230000 talking support", "c-2 +15551230000 choosing ")
	p.rings("the end", "dice", dice("c-1"), `{}`)
	p.rings("the end of the other", "dice", dice("c-2"), `{}`)
	p.rings("the end of one that nobody knows", "dice", dice("c-9"), `{}`)
	same("all are over")
	if log := g.logs("routing"); strings.Count(log, "is over") != 2 || !strings.Contains(log, "call c-1 for support is over: CALLERHANGUP, 12 s") {
		t.Errorf("the log tells of other calls: %s", log)
	}
}

// Two people reach each other by a number of ours as long as somebody with a key
// wants it, in the next version and after a crash too; nobody learns a number.
func TestExamples_Masking(t *testing.T) {
	t.Parallel()
	g := newSite(t).target()
	const rider, driver, buyer, first, second = "+15551230001", "+15551230002", "+15551230003", "+15559990001", "+15559990002"
	variables := []string{"VOICE_APPLICATION_KEY=app", "VOICE_APPLICATION_SECRET=" + voiceSecret}
	g.example("masking", variables...)
	p := phone{g, "masking"}
	put := func(session, id, secret, a, b string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), "PUT", g.gateway+"/fn/masking/sessions/"+session, strings.NewReader(fmt.Sprintf(`{"a":%q,"b":%q}`, a, b)))
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth(id, secret)
		req.Header.Set("Content-Type", "application/json")
		res, err := g.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(body)
	}
	open := func(session, a, b string, want int, number string) {
		t.Helper()
		status, body := put(session, g.key["POSTERN_KEY_ID"], g.key["POSTERN_KEY_SECRET"], a, b)
		if status != want || !strings.Contains(body, number) {
			t.Errorf("a session of %s and %s: %d %s; want %d %s", a, b, status, body, want, number)
		}
	}
	ice := func(from, to string) string {
		return fmt.Sprintf(`{"event":"ice","callid":"c-1","cli":%q,"to":{"type":"number","endpoint":%q},"version":1}`, from, to)
	}
	reaches := func(from, to, other string) {
		t.Helper()
		want := `"text":"This number is not in use."`
		if other != "" {
			want = fmt.Sprintf(`{"action":{"name":"connectPstn","number":%q,"maxDuration":3600,"cli":%q}}`, other, "+"+strings.TrimPrefix(to, "+"))
		}
		p.rings(from+" calls "+to, "ice", ice(from, to), want)
	}
	open("ride", rider, driver, 200, first)
	open("ride", rider, driver, 200, first)  // again: it keeps its number
	open("order", rider, buyer, 200, second) // who has two sessions has two numbers
	open("third", driver, rider, 409, "")
	for name, body := range map[string][2]string{"no number": {"1", driver}, "SQL": {"+1' OR '1'='1", driver}, "with themselves": {rider, rider}} {
		open(name[:2], body[0], body[1], 400, "")
	}
	reaches(rider, first, driver)
	reaches(driver, first, rider)
	reaches(rider, second, buyer)
	reaches(rider[1:], first[1:], driver) // as some networks write numbers
	reaches(buyer, first, "")
	reaches("+15551239999", first, "")
	p.refused("a call", "ice", ice(rider, first))

	for _, shown := range [][2]string{{"", ""}, {g.key["POSTERN_KEY_ID"], "psk_x"}, {"app", voiceSecret}} {
		if status, body := put("ride", shown[0], shown[1], rider, "+15551239999"); status != 401 {
			t.Errorf("a session, by %q: %d %s", shown[0], status, body)
		}
		if status, body := call(t, g.client, "DELETE", g.gateway+"/fn/masking/sessions/ride", shown[0], shown[1], ""); status != 401 {
			t.Errorf("its end, by %q: %d %s", shown[0], status, body)
		}
	}
	reaches(rider, first, driver)

	g.example("masking", append(variables, "NUMBERS="+first+","+second+",+15559990003")...)
	reaches(driver, first, rider)
	log := g.logs("masking")
	g.kill()
	g.start()
	g.addr = strings.TrimPrefix(g.gateway, "http://")
	reaches(driver, first, rider)
	reaches(buyer, second, rider)
	for _, want := range []int{204, 404} {
		if status, body := call(t, g.client, "DELETE", g.gateway+"/fn/masking/sessions/ride", g.key["POSTERN_KEY_ID"], g.key["POSTERN_KEY_SECRET"], ""); status != want {
			t.Errorf("the end of a session: %d %s; want %d", status, body, want)
		}
	}
	reaches(rider, first, "")
	reaches(rider, second, buyer)
	p.rings("the end", "dice", `{"event":"dice","callid":"c-1","result":"ANSWERED","duration":12,"version":1}`, `{}`)
	log += g.logs("masking") + g.log()
	if !strings.Contains(log, "call c-1 is over: ANSWERED, 12 s") || strings.Contains(log, "555123") {
		t.Errorf("the logs tell a number, or not what they should: %s", log)
	}
}

// The audio of a call comes back from the socket that ice names, as it was sent;
// who has no ticket, or a used one, is not heard.
func TestExamples_VoiceEcho(t *testing.T) {
	t.Parallel()
	g := newSite(t).target()
	url, said := g.example("voice-echo", "VOICE_APPLICATION_KEY=app", "VOICE_APPLICATION_SECRET="+voiceSecret, "MEDIA_URL=ws"+strings.TrimPrefix(g.gateway, "http")+"/fn/voice-echo/media")
	if !strings.Contains(said, "/media   WebSocket  open") || strings.Contains(said, "curl") {
		t.Errorf("the deploy does not tell of the socket, or to call it with curl: %s", said)
	}
	p := phone{g, "voice-echo"}
	ice := func(id string) string { return fmt.Sprintf(`{"event":"ice","callid":%q,"version":1}`, id) }
	invited := func(id string) string {
		t.Helper()
		status, body := g.exchange(callback("/fn/voice-echo/ice", ice(id)).signed())
		var answer struct {
			Action struct {
				Name             string
				Destination      struct{ Type, Endpoint string }
				StreamingOptions map[string]int
			}
		}
		if err := json.Unmarshal([]byte(body), &answer); err != nil || status != 200 || answer.Action.Name != "connectStream" || answer.Action.Destination.Type != "websocket" || answer.Action.StreamingOptions["sampleRate"] != 16000 {
			t.Fatal(status, body)
		}
		return answer.Action.Destination.Endpoint
	}
	dial := func(url string, header http.Header) (*websocket.Conn, *http.Response, error) {
		t.Helper()
		c, res, err := websocket.Dial(t.Context(), url, &websocket.DialOptions{HTTPHeader: header})
		if err == nil {
			t.Cleanup(func() { c.CloseNow() })
		}
		return c, res, err
	}
	p.refused("a call", "ice", ice("c-0"))

	endpoint := invited("c-1")
	if _, res, err := dial(endpoint, http.Header{"Origin": {"https://evil.example"}}); err == nil || res.StatusCode != 403 {
		t.Errorf("from a page: %v %v", res, err)
	}
	c, _, err := dial(endpoint, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := says(t, c, `{"event":"start","rate":16000}`); got != `{"event":"echo","callid":"c-1","said":{"event":"start","rate":16000}}` {
		t.Errorf("said back: %s", got)
	}
	frame := make([]byte, 640) // 20 ms
	for n := range 250 {
		rand.Read(frame)
		if err := c.Write(t.Context(), websocket.MessageBinary, frame); err != nil {
			t.Fatal(err)
		}
		if kind, got, err := c.Read(t.Context()); err != nil || kind != websocket.MessageBinary || !bytes.Equal(got, frame) {
			t.Fatalf("frame %d: %d bytes of %v come back, %v", n, len(got), kind, err)
		}
	}
	c.Close(websocket.StatusNormalClosure, "hung up")

	bare := url + "/media"
	for how, url := range map[string]string{
		"no ticket": bare, "an empty one": bare + "?ticket=", "one that was used": endpoint, "one of nobody": bare + "?ticket=00000000-0000-4000-8000-000000000000",
		"two": invited("c-2") + "&ticket=x", "a long one": bare + "?ticket=" + strings.Repeat("x", 4000), "another key of the cache": bare + "?ticket=" + strings.Repeat("*", 36),
	} {
		c, _, err := dial(url, nil)
		if err != nil {
			t.Fatal(how, err)
		}
		c.Write(t.Context(), websocket.MessageText, []byte(`{"event":"start"}`))
		if code := ending(t, c); code != websocket.StatusPolicyViolation {
			t.Errorf("%s: %d", how, code)
		}
	}
	once := invited("c-3")
	var opened [8]websocket.StatusCode
	var all sync.WaitGroup
	for i := range opened {
		all.Go(func() {
			c, _, err := dial(once, nil)
			if err != nil {
				t.Error(err)
				return
			}
			c.Write(t.Context(), websocket.MessageText, []byte(`no JSON`))
			opened[i] = ending(t, c)
		})
	}
	all.Wait()
	slices.Sort(opened[:])
	if opened[0] != websocket.StatusInvalidFramePayloadData || opened[1] != websocket.StatusPolicyViolation {
		t.Errorf("eight who show one ticket: %v", opened)
	}
	eventually(t, "the log tells of two calls that were on and are over", func() bool { return strings.Count(g.logs("voice-echo"), "is over") == 2 })
	if log := g.logs("voice-echo"); strings.Count(log, "is on") != 2 || !strings.Contains(log, "call c-1 is over: 160000 bytes of audio") || !strings.Contains(log, "call c-3 is over: 0 bytes of audio") {
		t.Errorf("the log: %s", log)
	}
}
