package main_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// A caller goes through the menus of examples/ivr, callback by signed callback.
func TestVoice_IVR(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	source, err := os.ReadFile("../../examples/ivr/function.ts")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../../examples/ivr/postern.json")
	if err != nil {
		t.Fatal(err)
	}
	var manifest map[string]any
	if err := json.Unmarshal(text, &manifest); err != nil {
		t.Fatal(err)
	}
	variables := manifest["variables"].(map[string]any)
	variables["VOICE_APPLICATION_KEY"], variables["VOICE_APPLICATION_SECRET"] = "app", voiceSecret
	if text, err = json.Marshal(manifest); err != nil {
		t.Fatal(err)
	}
	g.deployed(string(text), string(source))
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
		path := "/fn/ivr/" + tc.event
		if status, got := g.exchange(callback(path, tc.body).signed()); status != 200 || !strings.Contains(got, tc.want) {
			t.Errorf("%s: %d %s", tc.name, status, got)
		}
		forged := callback(path, tc.body)
		forged.secret = otherSecret
		if status, got := g.exchange(forged.signed()); status != 401 {
			t.Errorf("%s, signed by somebody else: %d %s", tc.name, status, got)
		}
	}
	if log := g.must("functions", "logs", "ivr"); strings.Count(log, "call c-1 to +15559990000") != 1 || strings.Count(log, "call c-1 is over: CALLERHANGUP, 12 s") != 1 {
		t.Errorf("the log tells of other calls than those that were let in: %s", log)
	}
}
