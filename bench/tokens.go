package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern.dev/postern/internal/api"
)

// issuing is one token server that is measured with client_credentials.
type issuing struct {
	name    string
	url     string
	clients []string // Authorization values, taken in turn
	rates   []float64
}

// tokenClients is how many access keys ask in turn: each may have ten tokens a
// second and thirty at once, and together they must never be over.
const tokenClients = 4000

// measureTokens measures the issuing of tokens, beside dex when a program is
// given, each in turn.
func measureTokens(ctx context.Context, dex string, rounds int, d time.Duration) ([]issuing, error) {
	dir, err := os.MkdirTemp("", "postern-bench-")
	if err != nil {
		return nil, err
	}
	s := &starter{ctx: ctx, dir: dir}
	defer s.stop()
	p, err := s.startPostern(s.dir, "off", "0")
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(os.Stderr, "making %d access keys\n", tokenClients)
	clients, err := p.mint(ctx, tokenClients)
	if err != nil {
		return nil, err
	}
	list := []issuing{{name: "Postern, /oauth2/token", url: p.control + "/oauth2/token", clients: clients}}
	if dex != "" {
		row, err := s.dex(dex)
		if err != nil {
			return nil, err
		}
		list = append(list, row)
	}
	for round := range rounds {
		for i := range list {
			rate, err := s.issue(&list[i], d)
			if err != nil {
				return nil, err
			}
			list[i].rates = append(list[i].rates, rate)
			fmt.Fprintf(os.Stderr, "round %d  %8.0f/s  %s\n", round+1, rate, list[i].name)
		}
	}
	return list, nil
}

// issue runs wrk with a script that asks as one client after the other.
func (s *starter) issue(row *issuing, d time.Duration) (float64, error) {
	script := filepath.Join(s.dir, "token.lua")
	text := "local clients = {}\n"
	for _, c := range row.clients {
		text += "clients[#clients+1] = " + strconv.Quote(c) + "\n"
	}
	text += `local n = 0
request = function()
  n = n + 1
  return wrk.format("POST", nil, {["Authorization"] = clients[n % #clients + 1], ["Content-Type"] = "application/x-www-form-urlencoded"}, "grant_type=client_credentials")
end
`
	if err := os.WriteFile(script, []byte(text), 0o600); err != nil {
		return 0, err
	}
	out, err := exec.CommandContext(s.ctx, "wrk", "-t1", "-c32", fmt.Sprintf("-d%ds", int(d.Seconds())), "-s", script, row.url).CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("wrk against %s: %w: %s", row.name, err, out)
	}
	rate, err := parseLoad(string(out), false)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", row.name, err)
	}
	return rate, nil
}

// dex starts dex with its storage in memory and one client.
func (s *starter) dex(program string) (issuing, error) {
	port, err := freePort()
	if err != nil {
		return issuing{}, err
	}
	config := filepath.Join(s.dir, "dex.yaml")
	base := "http://127.0.0.1:" + port
	text := `issuer: ` + base + `
storage: {type: memory}
web: {http: "127.0.0.1:` + port + `"}
logger: {level: error}
oauth2: {grantTypes: [client_credentials]}
connectors: [{type: mockCallback, id: mock, name: mock}]
staticClients: [{id: ` + user + `, secret: ` + password + `, name: bench, redirectURIs: ["http://127.0.0.1/"]}]
`
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return issuing{}, err
	}
	if err := s.run(program, "serve", config); err != nil {
		return issuing{}, err
	}
	row := issuing{name: "dex, storage in memory", url: base + "/token", clients: []string{basicAuth}}
	return row, s.untilItIssues(row)
}

// untilItIssues waits for the first token.
func (s *starter) untilItIssues(row issuing) error {
	for deadline := time.Now().Add(20 * time.Second); ; {
		req, err := http.NewRequestWithContext(s.ctx, http.MethodPost, row.url, strings.NewReader("grant_type=client_credentials"))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Authorization", row.clients[0])
		res, err := http.DefaultClient.Do(req)
		if err == nil {
			var answer struct {
				Token string `json:"access_token"`
			}
			err = json.NewDecoder(res.Body).Decode(&answer)
			res.Body.Close()
			if err == nil && answer.Token != "" {
				return nil
			}
			err = fmt.Errorf("it answers %s", res.Status)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: %w", row.name, err)
		}
		<-time.After(50 * time.Millisecond)
	}
}

// mint makes access keys and returns their Authorization values.
func (p *running) mint(ctx context.Context, n int) ([]string, error) {
	bearer, err := p.token(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]string, n)
	for i := range out {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.control+"/v1/projects/"+url.PathEscape(p.env["POSTERN_PROJECT_ID"])+"/accessKeys",
			strings.NewReader(fmt.Sprintf(`{"displayName":"bench %d"}`, i)))
		if err != nil {
			return nil, err
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+bearer)
		var made api.CreatedKey
		if err := answered(req, &made); err != nil {
			return nil, fmt.Errorf("make an access key: %w", err)
		}
		out[i] = basicOf(made.AccessKey.AccessKeyID, made.Secret)
	}
	return out, nil
}

// token gets an access token for the administrator's key.
func (p *running) token(ctx context.Context) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.control+"/oauth2/token", strings.NewReader("grant_type=client_credentials"))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Authorization", basicOf(p.env["POSTERN_KEY_ID"], p.env["POSTERN_KEY_SECRET"]))
	var out struct {
		Token string `json:"access_token"`
	}
	return out.Token, answered(req, &out)
}

func answered(req *http.Request, into any) error {
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers %s", res.Status)
	}
	return json.NewDecoder(res.Body).Decode(into)
}

func (i issuing) row(first issuing) string {
	return fmt.Sprintf("| %s | %.0f | %.0f–%.0f | %.2f |", i.name, median(i.rates), slices.Min(i.rates), slices.Max(i.rates), median(i.rates)/median(first.rates))
}
