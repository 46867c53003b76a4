package cli

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/fault"
)

// keyFlags are the flags that making and changing a key share.
type keyFlags struct {
	scopes, groups, from, metadata []string
	rate                           int
	quota, binding, cert, expires  string
}

func (f *keyFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringSliceVar(&f.scopes, "scope", nil, "invoke (call functions), control (use the API); may be repeated (default invoke)")
	flags.StringSliceVar(&f.groups, "group", nil, "route group that it opens; may be repeated (default all)")
	flags.StringSliceVar(&f.from, "from", nil, "address or network from which it may be used; may be repeated (default any)")
	flags.IntVar(&f.rate, "rate", 0, "most requests a second; 0 sets no limit")
	flags.StringVar(&f.quota, "quota", "", "most requests a day or month, such as 1000/day; none sets no limit")
	flags.StringVar(&f.binding, "binding", "", "bind its tokens: dpop, mtls or none")
	flags.StringVar(&f.cert, "cert", "", "PEM file with the one certificate that the binding mtls accepts")
	flags.StringVar(&f.expires, "expires", "", "when it ends: after a while such as 720h, at a time such as 2030-01-31T12:00:00Z, or never")
	flags.StringArrayVar(&f.metadata, "meta", nil, "note of the form NAME=VALUE, never a secret; may be repeated")
}

// change is what the flags that were given ask for. A list that was given
// empty is there and empty: it takes the limit away.
func (f *keyFlags) change(cmd *cobra.Command, now time.Time) (in api.UpdateKeyRequest, err error) {
	given := func(name string) bool { return cmd.Flags().Changed(name) }
	if given("scope") {
		in.Scopes = append([]string{}, f.scopes...)
	}
	if given("group") {
		in.Groups = append([]string{}, f.groups...)
	}
	if given("from") {
		in.AllowedCIDRs = networks(f.from)
	}
	if given("rate") {
		in.RatePerSecond = &f.rate
	}
	if given("binding") {
		in.Binding = &f.binding
	}
	if given("quota") {
		if in.Quota, err = parseQuota(f.quota); err != nil {
			return in, err
		}
	}
	if given("cert") {
		if in.CertThumbprint, err = thumbprint(f.cert); err != nil {
			return in, err
		}
		if mtls := "mtls"; in.Binding == nil && *in.CertThumbprint != "" {
			in.Binding = &mtls
		}
	}
	if given("expires") {
		if in.ExpireTime, err = parseExpiry(f.expires, now); err != nil {
			return in, err
		}
	}
	if given("meta") {
		in.Metadata, err = parsePairs("meta", f.metadata)
	}
	return in, err
}

// networks makes a network of each plain address; what is neither is left for
// the server to refuse.
func networks(from []string) []string {
	out := make([]string, len(from))
	for i, s := range from {
		out[i] = s
		if a, err := netip.ParseAddr(s); err == nil {
			out[i] = netip.PrefixFrom(a, a.BitLen()).String()
		}
	}
	return out
}

func parseQuota(s string) (*api.Quota, error) {
	if s == "none" {
		return &api.Quota{}, nil
	}
	count, per, _ := strings.Cut(s, "/")
	n, err := strconv.ParseInt(count, 10, 64)
	if err != nil || n < 1 || per != "day" && per != "month" {
		return nil, usageError{fmt.Sprintf("--quota %q is no quota", s), "write it as 1000/day, 50000/month, or none"}
	}
	return &api.Quota{Limit: n, Per: per}, nil
}

func parseExpiry(s string, now time.Time) (*string, error) {
	var text string
	if d, err := time.ParseDuration(s); err == nil && d > 0 {
		text = now.Add(d).UTC().Format(time.RFC3339Nano)
	} else if _, err := time.Parse(time.RFC3339, s); err == nil {
		text = s
	} else if s != "never" {
		return nil, usageError{fmt.Sprintf("--expires %q is neither a while nor a time to come", s), "write it as 720h, as 2030-01-31T12:00:00Z, or never"}
	}
	return &text, nil
}

// parsePairs reads flags of the form NAME=VALUE; an empty one stands for none.
func parsePairs(flag string, list []string) (map[string]string, error) {
	out := map[string]string{}
	for _, s := range list {
		name, value, ok := strings.Cut(s, "=")
		if _, twice := out[name]; s != "" && (!ok || name == "" || twice) {
			return nil, usageError{fmt.Sprintf("--%s %q is not of the form NAME=VALUE, or stands twice", flag, s), "write each as --" + flag + " NAME=VALUE"}
		}
		if s != "" {
			out[name] = value
		}
	}
	return out, nil
}

// thumbprint is that of the first certificate of a file, as RFC 8705 §3.1
// writes it; of no file it is empty.
func thumbprint(path string) (*string, error) {
	var text string
	if path == "" {
		return &text, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "read the certificate")
	}
	for {
		var block *pem.Block
		block, data = pem.Decode(data)
		if block == nil {
			return nil, fault.New(fault.Invalid, path+" holds no certificate").WithHint("name a PEM file with a CERTIFICATE in it")
		}
		if block.Type == "CERTIFICATE" {
			sum := sha256.Sum256(block.Bytes)
			text = base64.RawURLEncoding.EncodeToString(sum[:])
			return &text, nil
		}
	}
}
