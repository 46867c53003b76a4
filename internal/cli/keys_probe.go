package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/fault"
)

type probeOptions struct {
	url     string
	timeout time.Duration
	count   int
	asJSON  bool
}

// probeResult is what `postern keys probe --json` prints.
type probeResult struct {
	Count   int       `json:"count"`
	P50     float64   `json:"p50Ms"`
	P99     float64   `json:"p99Ms"`
	Max     float64   `json:"maxMs"`
	Samples []float64 `json:"samplesMs"`
}

func newKeysProbe(std Stdio) *cobra.Command {
	o := probeOptions{}
	cmd := remote(&cobra.Command{
		Use:   "probe --url URL",
		Short: "Measure how long a revoked key is still let in",
		Long: "Make a key, call a URL with it until it is let in, revoke it, and measure the time\n" +
			"from asking for the revocation to the first 401; several times. The URL must be one\n" +
			"that needs a key of this project. Its handler runs some hundred times. The keys are\n" +
			"ended also when it is interrupted, and expire within the hour in any case.",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if u, err := url.Parse(o.url); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
				return usageError{"--url must be the URL of a guarded handler", "write it as --url http://127.0.0.1:8080/fn/NAME/HANDLER"}
			}
			if o.count < 1 || o.count > 1000 || o.timeout <= 0 {
				return usageError{"--count must be from 1 to 1000, and --timeout more than 0", "see postern keys probe --help"}
			}
			client, err := signedIn(cmd)
			if err != nil {
				return err
			}
			return probe(cmd.Context(), client, newPrinter(std.Out), o)
		},
	}, &o.asJSON)
	cmd.Flags().StringVar(&o.url, "url", "", "URL of a guarded handler")
	cmd.Flags().DurationVar(&o.timeout, "timeout", 10*time.Second, "how long one key may take to be let in, and to be refused")
	cmd.Flags().IntVar(&o.count, "count", 20, "how many keys")
	return cmd
}

func probe(ctx context.Context, client *api.Client, out printer, o probeOptions) error {
	client.Impatient = true // waiting inside of a call would be measured
	// A transport of its own: the connections that it closes at the end are its own.
	transport := http.DefaultTransport.(*http.Transport).Clone()
	defer transport.CloseIdleConnections()
	p := prober{o.url, &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	if status, err := p.withoutKey(ctx, o.timeout); err != nil {
		return err
	} else if status != http.StatusUnauthorized {
		return fault.New(fault.Invalid, fmt.Sprintf("%s answers %d to a call without a key, so it cannot tell whether a key is let in", o.url, status)).WithHint("name a handler that is guarded by an access key: postern functions status NAME")
	}
	var took []time.Duration
	for range o.count {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		d, err := p.round(ctx, client, o.timeout)
		if err != nil {
			return err
		}
		took = append(took, d)
	}
	r := summary(took)
	if o.asJSON {
		return out.json(r)
	}
	out.line("revocation to refusal, %d keys: p50 %.1f ms, p99 %.1f ms, max %.1f ms", r.Count, r.P50, r.P99, r.Max)
	return nil
}

// summary tells the percentiles by nearest rank.
func summary(took []time.Duration) probeResult {
	r := probeResult{Count: len(took)}
	for _, d := range took {
		r.Samples = append(r.Samples, float64(d.Microseconds())/1000)
	}
	sorted := slices.Sorted(slices.Values(r.Samples))
	rank := func(percent int) float64 { return sorted[(len(sorted)*percent+99)/100-1] }
	r.P50, r.P99, r.Max = rank(50), rank(99), rank(100)
	return r
}

type prober struct {
	url  string
	http *http.Client
}

// withoutKey returns the status of a call that shows no key.
func (p prober) withoutKey(ctx context.Context, timeout time.Duration) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return p.get(ctx, "", "")
}

// round makes one key and returns how long it took from asking for its end to
// its first refusal. The key is ended whatever happens.
func (p prober) round(ctx context.Context, client *api.Client, timeout time.Duration) (took time.Duration, err error) {
	// Whatever interrupts, a key that was asked for must be known, to end it.
	whole, done := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer done()
	var made api.CreatedKey
	err = patiently(whole, func() (err error) {
		made, err = client.CreateKey(whole, api.CreateKeyRequest{DisplayName: "probe " + rand.Text(), ExpireTime: time.Now().Add(time.Hour).UTC().Format(time.RFC3339)})
		return err
	})
	if err != nil {
		return 0, err
	}
	revoked := false
	defer func() {
		if !revoked {
			end, done := context.WithTimeout(context.WithoutCancel(ctx), timeout)
			defer done()
			err = errors.Join(err, patiently(end, func() error { return client.RevokeKey(end, made.AccessKey.AccessKeyID) }))
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := p.until(ctx, made, "let in", func(status int) bool { return status != http.StatusUnauthorized }); err != nil {
		return 0, err
	}
	refused := make(chan error, 1)
	var at time.Time
	go func() { // ends with ctx at the latest, and is waited for
		err := p.until(ctx, made, "refused", func(status int) bool { return status == http.StatusUnauthorized })
		at = time.Now()
		refused <- err
	}()
	var asked time.Time
	failed := patiently(ctx, func() error {
		asked = time.Now()
		return client.RevokeKey(ctx, made.AccessKey.AccessKeyID)
	})
	if revoked = failed == nil; !revoked {
		cancel()
	}
	err = <-refused
	if failed != nil {
		return 0, failed
	}
	return at.Sub(asked), err
}

// until calls the URL with a key until its answer is as wanted.
func (p prober) until(ctx context.Context, k api.CreatedKey, wanted string, ok func(status int) bool) error {
	for {
		status, err := p.get(ctx, k.AccessKey.AccessKeyID, k.Secret)
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			return fault.Wrap(err, fault.Timeout, "the key was not "+wanted+" in time").WithCode("timeout").WithHint("is the URL that of a handler which needs a key? --timeout gives it longer")
		case err != nil:
			return err
		case status == http.StatusForbidden:
			return fault.New(fault.Denied, fmt.Sprintf("a key of this project is not let in by %s", p.url)).WithHint("name a handler of this project")
		case ok(status):
			return nil
		}
	}
}

// get calls the URL and returns the status.
func (p prober) get(ctx context.Context, id, secret string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url, nil)
	if err != nil {
		return 0, fmt.Errorf("make the request: %w", err)
	}
	if id != "" {
		req.SetBasicAuth(id, secret)
	}
	res, err := p.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		return 0, fault.Wrap(err, fault.Unavailable, "cannot call "+p.url)
	}
	defer res.Body.Close()
	io.Copy(io.Discard, io.LimitReader(res.Body, 1<<20)) // so that the connection is used again
	return res.StatusCode, nil
}

// patiently does an act again as long as it comes too soon.
func patiently(ctx context.Context, act func() error) error {
	for {
		err := act()
		if fault.KindOf(err) != fault.TooMany {
			return err
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return err
		}
	}
}
