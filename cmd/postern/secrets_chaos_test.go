package main_test

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postern.dev/postern/internal/api"
)

// pairTeller answers with two secrets that are pushed together.
var pairTeller = strings.ReplaceAll(teller, "?? 'none'", "+ '/' + process.env.PAIR")

// TestChaos_SecretsAreWhole: the command, the server and the network are ended at
// random moments of `secrets push` and `secrets rotate-keys`. The function has both
// values of one push, the old or the new, and the next command works.
func TestChaos_SecretsAreWhole(t *testing.T) {
	t.Parallel()
	const budget = 10 * time.Second
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	s := newSite(t)
	x := newTrouble(s, random)
	dir := filepath.Join(t.TempDir(), "tell")
	write := func(n int) {
		s.files(dir, map[string]string{"postern.json": `{"name":"tell","runtime":"node","secrets":["SECRET_VALUE","PAIR"]}`, "function.ts": pairTeller,
			".env": fmt.Sprintf("SECRET_VALUE=value-%d\nPAIR=value-%d\n", n, n)})
	}
	command := func(args ...string) *exec.Cmd {
		cmd := exec.Command(binary, append(args, "--server", "http://"+x.ln.Addr().String())...)
		cmd.Dir, cmd.Env = dir, append(s.env, "POSTERN_KEYCHAIN=file", "POSTERN_KEYCHAIN_PASSPHRASE=x", "HOME="+dir)
		return cmd
	}
	done := func(args ...string) time.Duration {
		t.Helper()
		began := time.Now()
		if out, err := command(args...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s\n%s", args, err, out, s.log())
		}
		return time.Since(began)
	}
	whole := func(n int) string { return fmt.Sprintf("value-%d/value-%d", n, n) }
	write(0)
	done("functions", "deploy")
	push, rotate := []string{"secrets", "push"}, []string{"secrets", "rotate-keys"}
	took := map[string]time.Duration{"push": done(push...), "rotate-keys": done(rotate...)}
	last, counts := 0, map[string]int{}
	for n, end := 1, time.Now().Add(budget); time.Now().Before(end) || len(counts) == 0 && n < 100; n++ {
		args := push
		if n%3 == 0 {
			args = rotate
		} else {
			write(n)
		}
		cmd := command(args...)
		var out strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		what := x.strike(cmd, took[args[1]], 300*time.Millisecond)
		err := cmd.Wait()
		status, said := s.told("tell", "tell")
		for k := last; k <= n; k++ { // one whose command was ended may have got there later
			if said == whole(k) {
				last = k
			}
		}
		if status != http.StatusOK || said != whole(last) || err == nil && n%3 != 0 && last != n {
			t.Fatalf("the %s was ended in %v %d (%v): %d %q, before it was %q\n%s\n%s", what, args, n, err, status, said, whole(last), &out, s.log())
		}
		if strings.Contains(out.String(), "value-") {
			t.Fatalf("a secret is told:\n%s", &out)
		}
		if err != nil {
			counts[args[1]+" without its "+what]++
		}
	}
	if t.Logf("%v", counts); len(counts) == 0 {
		t.Error("nothing was cut off")
	}
	done(rotate...)
	write(-1)
	done(push...)
	if _, said := s.told("tell", "tell"); said != whole(-1) {
		t.Errorf("after all of it: %q", said)
	}
	eventually(t, "one worker is left", func() bool { return len(workers(s.data)) == 1 })
}

// keepers counts the data keys that each keeper has sealed, in a database that no
// server has open.
func (s *site) keepers() (of map[string]int, all int) {
	s.Helper()
	db, err := sql.Open("sqlite", filepath.Join(s.data, "postern.db"))
	if err != nil {
		s.Fatal(err)
	}
	defer db.Close()
	rows, err := db.QueryContext(s.Context(), "SELECT keeper, COUNT(*) FROM data_keys GROUP BY keeper")
	if err != nil {
		s.Fatal(err)
	}
	defer rows.Close()
	of = map[string]int{}
	for rows.Next() {
		var name string
		var n int
		if err := rows.Scan(&name, &n); err != nil {
			s.Fatal(err)
		}
		of[name] = n
		all += n
	}
	if err := rows.Err(); err != nil {
		s.Fatal(err)
	}
	return of, all
}

// TestChaos_KeeperRotation kills the server at random moments of the rotation of
// its keeper. No data key is lost, each is sealed by one keeper or the other, the
// next start goes on and ends it, and everything opens; the keeper before opens
// nothing any more.
func TestChaos_KeeperRotation(t *testing.T) {
	t.Parallel()
	const projects, rounds = 60, 6
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	s := newSite(t)
	c := s.own()
	hash := s.upload(c, `{"name":"tell","runtime":"node","secrets":["SECRET_VALUE"]}`, teller)
	if _, err := c.Deploy(t.Context(), "tell", api.DeployRequest{Artefact: hash, Secrets: map[string]string{"SECRET_VALUE": "kept"}}); err != nil {
		t.Fatal(err)
	}
	ids := []string{c.ProjectID}
	for i := range projects { // each has a data key
		sub, err := c.CreateSubproject(t.Context(), api.CreateSubprojectRequest{DisplayName: fmt.Sprint("p", i)})
		if err == nil {
			_, err = s.client(sub.SubprojectID, c.KeyID, c.Secret).ChangeSecrets(t.Context(), "", api.ChangeSecretsRequest{Set: map[string]string{"TEAM": fmt.Sprint("t", i)}})
		}
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, sub.SubprojectID)
	}
	keeper := func(i int) string {
		if i == 0 {
			return "derived"
		}
		return "file:" + filepath.Join(filepath.Dir(s.data), fmt.Sprintf("keeper-%d.key", i))
	}
	sealed := func() bool { return strings.Contains(s.log(), "all data keys are sealed by the keeper in force") }
	args := func(i int) []string {
		return []string{"--secrets-key", keeper(i), "--secrets-key-before", keeper(i - 1)}
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	usual, half := 400*time.Millisecond, 0
	for i := 1; i <= rounds; i++ {
		for range 2 {
			first := exec.Command(binary, append([]string{"serve", "--listen", "127.0.0.1:0", "--control-listen", "127.0.0.1:0", "--data", s.data}, args(i)...)...)
			first.Env = os.Environ()
			if err := first.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(usual/4 + time.Duration(random.Int64N(int64(usual)))) // a moment of the start or of the rotation
			first.Process.Kill()
			first.Wait()
			of, all := s.keepers()
			if all != projects+1 || len(of) > 2 {
				t.Fatalf("round %d: data keys by keeper: %v", i, of)
			}
			if len(of) == 2 {
				half++
			}
		}
		began := time.Now()
		s.start(args(i)...)
		eventually(t, "all data keys are sealed anew", sealed)
		usual = (usual + time.Since(began)) / 2
		if status, said := s.told("tell", "tell"); status != http.StatusOK || said != "kept" {
			t.Fatalf("round %d: %d %q\n%s", i, status, said, s.log())
		}
		if err := s.stop(); err != nil {
			t.Error(err)
		}
		if of, all := s.keepers(); all != projects+1 || len(of) != 1 {
			t.Fatalf("round %d, at its end: data keys by keeper: %v", i, of)
		}
	}
	t.Logf("%d of %d kills came half-way", half, 2*rounds)
	if out, err := s.command("serve", "--listen", "127.0.0.1:0", "--control-listen", "127.0.0.1:0", "--data", s.data, "--secrets-key", keeper(rounds-1)); err == nil || !strings.Contains(out, "sealed with another key") {
		t.Errorf("with the keeper before: %v\n%s", err, out)
	}
	s.start("--secrets-key", keeper(rounds))
	for _, id := range ids { // which opens each value
		if out, err := s.client(id, c.KeyID, c.Secret).RotateKeys(t.Context()); err != nil || out.Keys != 1 {
			t.Errorf("%s: %+v, %v", id, out, err)
		}
	}
	if _, said := s.told("tell", "tell"); said != "kept" {
		t.Errorf("after all of it: %q", said)
	}
}
