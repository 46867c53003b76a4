package main_test

import (
	"bytes"
	"database/sql"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"postern.dev/postern/internal/api"
)

// bare hands out all that it was given.
const bare = `export const all = () => process.env;`

// Values at every place of a request at which somebody could put one, and names
// that would be more than a secret's. What is refused repeats no value, and no file,
// log or audit event has one, whether it was refused or not.
func TestAttack_SecretStore(t *testing.T) {
	t.Parallel()
	g := newTarget(t)
	c := g.own()
	hash := g.upload(c, `{"name":"s","runtime":"node","secrets":["OWN"]}`, bare)
	if _, err := c.Deploy(t.Context(), "s", api.DeployRequest{Artefact: hash, Secrets: map[string]string{"OWN": "own-value-0123456789"}}); err != nil {
		t.Fatal(err)
	}
	const value = "stray-Value_77f1c0de"
	var seen bytes.Buffer
	send := func(method, path, body string) int {
		r, err := http.NewRequestWithContext(t.Context(), method, g.control+"/v1/projects/"+c.ProjectID+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.SetBasicAuth(c.KeyID, c.Secret)
		for {
			res, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintln(&seen, res.Header)
			seen.ReadFrom(res.Body)
			if res.Body.Close(); res.StatusCode != http.StatusTooManyRequests {
				return res.StatusCode
			}
			r.Body, _ = r.GetBody()
		}
	}
	change := []string{`{"set":{"A":["%s"]}}`, `{"set":{"A":{"%s":1}}}`, `{"set":"%s"}`, `{"set":["%s"]}`, `{"set":{"%s":"x"}}`, `{"set":{"A":"%s"}`, `{"%s":{}}`, `"%s"`, `%s`,
		`{"remove":"%s"}`, `{"remove":["%s"]}`, `{"remove":[{"%s":1}]}`, `{"remove":["OWN","%s"]}`, `{"set":{"A":"%s\u0000"}}`, `{"set":{"A":"%[1]s","a":"%[1]s"}}`, `{"set":{"A":"%[1]s"},"remove":["A"],"%[1]s":1}`, `{"set":{"A":"%s"},"remove":["A"]}`,
		`{"set":{"PROJECT_ID":"%s"}}`, `{"set":{"PROJECT_ID_API_SECRET":"%s"}}`, `{"set":{"FUNCTION_ID":"%s"}}`, `{"set":{"POSTERN_SOCKET":"%s"}}`, `{"set":{"POSTERN_":"%s"}}`, `{"set":{"NODE_OPTIONS":"%s"}}`, `{"set":{"NODE_ENV":"%s"}}`,
		`{"set":{"LD_PRELOAD":"%s"}}`, `{"set":{"PATH":"%s"}}`, `{"set":{"HOME":"%s"}}`, `{"set":{"A=B":"%s"}}`, `{"set":{"A\u0000":"%s"}}`, `{"set":{"A\nB":"%s"}}`, `{"set":{"":"%s"}}`, `{"set":{"\u0410":"%s"}}`, `{"set":{"__proto__":"%s"}}`}
	asked := 0
	for _, body := range change {
		for _, path := range []string{"/functions/s/secrets", "/secrets"} {
			asked++
			text := strings.TrimSuffix(fmt.Sprintf(body, value), "%!(EXTRA string="+value+")")
			tried(t, path, text)
			if status := send("PATCH", path, text); status < 400 || status >= 500 {
				t.Errorf("PATCH %s with %s: %d", path, text, status)
			}
		}
	}
	for _, body := range []string{`"secrets":{"A":["%s"]}`, `"secrets":{"%s":"x"}`, `"secrets":"%s"`, `"secrets":{"NODE_OPTIONS":"%s"}`, `"secrets":{"POSTERN_TOKEN":"%s"}`, `"secrets":{"PATH":"%s"}`, `"secrets":{"A":"%s"},"variables":{"A":"x"}`,
		`"declares":["%s"]`, `"declares":["A","PATH"],"secrets":{"A":"%s"}`, `"variables":{"OWN":"%s"}`, `"variables":{"LD_AUDIT":"%s"}`, `"variables":{"NODE_OPTIONS":"%s"}`, `"variables":{"PROJECT_ID_API_KEY":"%s"}`, `"variables":{"A":"%s\u0000"}`, `"%s":1`} {
		text := `{"artefact":"` + hash + `","force":true,` + fmt.Sprintf(body, value) + `}`
		tried(t, "deploy", text)
		if status := send("POST", "/functions/s/deployments", text); status < 400 || status >= 500 {
			t.Errorf("deploy with %s: %d", text, status)
		}
	}
	if _, env := g.site.told("s", "all"); !strings.Contains(env, "own-value") || strings.Contains(env, value) {
		t.Errorf("the function runs with %s", env)
	}
	for _, path := range []string{"/functions", "/functions/s", "/functions/s/secrets", "/secrets", "/functions/s/logs", "/functions/s/deployments", "/audit"} {
		send("GET", path, "")
	}
	values := map[string][]byte{"a stray value": []byte(value), "a secret": []byte("own-value-0123456789")}
	for _, found := range leaks(seen.Bytes(), values) {
		t.Errorf("in an answer: %s", found)
	}
	for _, found := range leaks([]byte(g.log()), values) {
		t.Errorf("in the log: %s", found)
	}
	g.onDisk(values)
}

// Sealed values and data keys that are moved to another row of the database open
// for nobody there, and where they were for their owner still.
func TestAttack_SealedElsewhere(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c := s.own()
	file := filepath.Join(s.data, "postern.db")
	at := func(do func(*sql.DB)) {
		t.Helper()
		db, err := sql.Open("sqlite", file)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		do(db)
	}
	owner := map[string]string{}
	for _, name := range []string{"victim", "thief"} {
		hash := s.upload(c, `{"name":"`+name+`","runtime":"node","secrets":["ONE","TWO"]}`, bare)
		_, err := c.Deploy(t.Context(), name, api.DeployRequest{Artefact: hash, Secrets: map[string]string{"ONE": name + "-one-1", "TWO": name + "-two-1"}})
		if err != nil {
			t.Fatal(err)
		}
		at(func(db *sql.DB) {
			var id string
			if err := db.QueryRow("SELECT id FROM functions WHERE name = $1", name).Scan(&id); err != nil {
				t.Fatal(err)
			}
			owner[name] = id
		})
	}
	row := func(db *sql.DB, query string, args ...any) (sealed, key, id string) {
		t.Helper()
		if err := db.QueryRow(query, args...).Scan(&sealed, &key, &id); err != nil {
			t.Fatal(err)
		}
		return sealed, key, id
	}
	const read = "SELECT s.sealed, k.sealed, k.id FROM secrets s JOIN data_keys k ON k.owner_id = s.owner_id WHERE s.owner_id = $1 AND s.name = $2"
	var old string // of the victim's, before it was changed
	at(func(db *sql.DB) { old, _, _ = row(db, read, owner["victim"], "ONE") })
	if _, err := c.ChangeSecrets(t.Context(), "victim", api.ChangeSecretsRequest{Set: map[string]string{"ONE": "victim-one-2"}}); err != nil {
		t.Fatal(err)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	var value, other, key, id string
	at(func(db *sql.DB) {
		value, key, id = row(db, read, owner["victim"], "ONE")
		other, _, _ = row(db, read, owner["victim"], "TWO")
	})
	type move struct {
		to, name string // whose secret, and which
		sealed   string
		key, id  string // of its data key; empty: as they are
	}
	for what, m := range map[string]move{
		"a value, to another function":                 {"thief", "ONE", value, "", ""},
		"a value with its data key":                    {"thief", "ONE", value, key, ""},
		"a value with its data key and the ID of that": {"thief", "ONE", value, key, id + "x"},
		"another secret of the same function":          {"victim", "ONE", other, "", ""},
		"what a secret was before":                     {"victim", "ONE", old, "", ""},
		"a value that was cut":                         {"victim", "ONE", value[:len(value)-4], "", ""},
		"nothing that was sealed":                      {"victim", "ONE", "dmljdGltLW9uZS0y", "", ""},
	} {
		tried(t, what, m.sealed)
		at(func(db *sql.DB) {
			o := owner[m.to]
			was, wasKey, wasID := row(db, read, o, m.name)
			put := func(sealed, key, id string) {
				if _, err := db.Exec("UPDATE secrets SET sealed = $1 WHERE owner_id = $2 AND name = $3", sealed, o, m.name); err != nil {
					t.Fatal(err)
				}
				if _, err := db.Exec("UPDATE data_keys SET sealed = $1, id = $2 WHERE owner_id = $3", key, id, o); err != nil {
					t.Fatal(err)
				}
			}
			pick := func(a, b string) string {
				return slices.DeleteFunc([]string{a, b}, func(x string) bool { return x == "" })[0]
			}
			put(m.sealed, pick(m.key, wasKey), pick(m.id, wasID))
			s.start()
			status, env := s.told(m.to, "all")
			if status == http.StatusOK || strings.Contains(env, "victim-one") || strings.Contains(env, "-two-") {
				t.Errorf("%s: %d %s", what, status, env)
			}
			if strings.Contains(s.log(), "victim-one") {
				t.Errorf("%s: it is in the log", what)
			}
			if err := s.stop(); err != nil {
				t.Error(err)
			}
			put(was, wasKey, wasID)
		})
	}
	s.start()
	if status, env := s.told("victim", "all"); status != http.StatusOK || !strings.Contains(env, "victim-one-2") {
		t.Errorf("after all that its owner has %d %s", status, env)
	}
}
