package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/config"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/keychain"
)

type loginOptions struct {
	secretStdin bool
	secretFile  string
	asJSON      bool
}

// loginLine is what `postern auth login --json` prints.
type loginLine struct {
	Profile   string   `json:"profile"`
	Server    string   `json:"server"`
	ProjectID string   `json:"projectId"`
	KeyID     string   `json:"keyId"`
	Scopes    []string `json:"scopes"`
	SecretIn  string   `json:"secretIn"`
	Warnings  []string `json:"warnings"`
}

func newAuthLogin(std Stdio) *cobra.Command {
	o := loginOptions{}
	cmd := &cobra.Command{
		Use:   "login",
		Short: "Sign in with an access key and remember it",
		Long: "Sign in with an access key: try it at the server, put its secret into the keychain,\n" +
			"and remember the rest under a profile, which the other commands then use.\n\n" +
			"What is missing is asked for at a terminal. The secret is taken from standard input,\n" +
			"a file, POSTERN_KEY_SECRET or the prompt, and never from the command line, which\n" +
			"other users of the machine can read.\n\n" +
			"Where there is no keychain, POSTERN_KEYCHAIN=file chooses a file that a passphrase\n" +
			"encrypts (POSTERN_KEYCHAIN_PASSPHRASE, or the prompt).",
		Example: "  postern auth login --server https://control.example.org --key-id pak_…\n" +
			"  pass show postern | postern auth login --key-id pak_… --secret-stdin\n" +
			"  postern auth login --profile staging --key-id pak_… --secret-file /run/secrets/postern",
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.secretStdin && o.secretFile != "" {
				return usageError{"--secret-stdin and --secret-file exclude one another", "give one of them"}
			}
			cfg, err := settings(cmd)
			if err != nil {
				return err
			}
			return login(cmd.Context(), std, cfg, o)
		},
	}
	settingFlagsOf(cmd, "profile", "server", "key-id", "keychain")
	cmd.Flags().BoolVar(&o.secretStdin, "secret-stdin", false, "read the secret from standard input")
	cmd.Flags().StringVar(&o.secretFile, "secret-file", "", "read the secret from this file")
	cmd.Flags().BoolVar(&o.asJSON, "json", false, "print JSON; an error is one JSON object on standard error")
	return cmd
}

// login writes nothing before the server has accepted the key, and leaves
// nothing half done: keychain and profile change together or not at all.
func login(ctx context.Context, std Stdio, cfg *config.Config, o loginOptions) error {
	notes := warnings{std: std, quiet: o.asJSON, all: []string{}}
	p, secret, err := loginWith(ctx, std, cfg, o)
	if err != nil {
		return err
	}
	if inTheClear(p.Server) {
		notes.add("the secret goes to %s unencrypted; use https:// on any network that is not your own", p.Server)
	}
	box, err := openKeychain(ctx, std, cfg)
	if err != nil {
		return err
	}
	// Also to learn that no keychain answers before the secret is on its way.
	before, err := box.Get(ctx, account(cfg))
	if err != nil && !errors.Is(err, keychain.ErrNotFound) {
		return err
	}
	who, err := verify(ctx, p, secret)
	if err != nil {
		return err
	}
	p.ProjectID = who.ProjectID
	old, had := cfg.Stored()
	if err := exchange(ctx, cfg, box, p, secret, before); err != nil {
		return err
	}
	if had && old.Keychain != p.Keychain {
		notes.add("the keychain %q still holds a secret of this profile; remove it: POSTERN_KEYCHAIN=%s postern auth logout --profile %s, then sign in again", old.Keychain, old.Keychain, cfg.Profile)
	}
	if set := stillSet(cfg); len(set) > 0 {
		notes.add("the environment wins over the profile; to use the profile: unset %s", strings.Join(set, " "))
	}
	done := loginLine{cfg.Profile, p.Server, p.ProjectID, p.KeyID, who.Scopes, box.String(), notes.all}
	if o.asJSON {
		return newPrinter(std.Out).json(done)
	}
	greet(newPrinter(std.Out), done)
	return nil
}

// loginWith gathers what to sign in with, and asks for what is missing.
func loginWith(ctx context.Context, std Stdio, cfg *config.Config, o loginOptions) (p config.Profile, secret accesskey.Secret, err error) {
	p = config.Profile{Server: cfg.Server, KeyID: cfg.KeyID, Keychain: cfg.Keychain}
	person := terminalOf(std)
	if person != nil && !given(cfg, "server") {
		if p.Server, err = person.until(ctx, "Server", p.Server, checkServer); err != nil {
			return p, secret, err
		}
	}
	p.Server = trimURL(p.Server)
	if err := checkServer(p.Server); err != nil {
		return p, secret, err
	}
	if person != nil && !given(cfg, "key-id") {
		if p.KeyID, err = person.until(ctx, "Key ID", p.KeyID, typedKeyID); err != nil {
			return p, secret, err
		}
	}
	if err := checkKeyID(p.KeyID); err != nil {
		return p, secret, err
	}
	text, from, err := readSecret(ctx, std, cfg, o)
	if err != nil {
		return p, secret, err
	}
	if secret, err = accesskey.ParseSecret(text); err != nil {
		return p, secret, fault.New(fault.Invalid, from+" holds no access key's secret: it must be psk_ and 49 letters and digits, the last six of which are a checksum").
			WithCode("secret_malformed").WithHint("copy the whole secret; if it is lost, make another key: postern keys create NAME --scope control")
	}
	return p, secret, nil
}

func typedKeyID(id string) error {
	if id == "" {
		return usageError{"there is no key without its ID", "it begins with pak_, and was printed with the secret"}
	}
	return checkKeyID(id)
}

func checkServer(url string) error {
	if config.ValidServer(trimURL(url)) {
		return nil
	}
	return usageError{"the server's URL must begin with http:// or https:// and have no path, query or user", "write it as https://control.example.org"}
}

// given reports whether a setting was chosen for this call.
func given(cfg *config.Config, key string) bool {
	s := cfg.Origin(key).Source
	return s != config.FromDefault && s != config.FromProfile
}

func checkKeyID(id string) error {
	switch {
	case id == "":
		return usageError{"the key ID is missing, and standard input is no terminal to ask at", "give --key-id pak_…, or set POSTERN_KEY_ID"}
	case strings.HasPrefix(id, "psk_"): // and not shown once more
		return usageError{"the key ID begins with pak_; what was given in its place looks like a secret", "other users can read a command line: end that key with postern keys revoke, and make another"}
	case !accesskey.ValidID(id):
		return usageError{"the key ID " + quote(id) + " is malformed: it must be pak_ and 26 characters in lower case", "copy the whole ID: it was printed with the secret, by the first start of the server or by postern keys create"}
	}
	return nil
}

const maxSecretInput = 4 << 10

// readSecret returns the secret's text, and where it is from.
func readSecret(ctx context.Context, std Stdio, cfg *config.Config, o loginOptions) (text, from string, err error) {
	person := terminalOf(std)
	switch {
	case o.secretFile != "":
		text, err = readSecretFile(o.secretFile)
		return text, "the file " + o.secretFile, err
	case o.secretStdin && person == nil:
		data, err := io.ReadAll(io.LimitReader(std.In, maxSecretInput))
		return strings.TrimSpace(string(data)), "standard input", err
	// A secret from the environment goes with a key ID from there, not with
	// one that was typed for another key.
	case !o.secretStdin && cfg.KeySecret.Reveal() != "" && cfg.Origin("key-id").Source == cfg.Origin("key-secret").Source:
		return cfg.KeySecret.Reveal(), cfg.Origin("key-secret").Name, nil
	case person != nil:
		text, err = person.secret(ctx, "Key secret (not shown)")
		return text, "what was typed", err
	}
	return "", "", usageError{"the key secret is missing, and standard input is no terminal to ask at", "give --secret-stdin and pipe it in, or --secret-file FILE"}
}

func readSecretFile(path string) (string, error) {
	if strings.HasPrefix(path, "psk_") {
		return "", usageError{"--secret-file takes the name of a file, not the secret", "other users can read a command line: end that key with postern keys revoke, and make another"}
	}
	f, err := os.Open(path)
	if err != nil {
		return "", fault.Wrap(err, fault.Invalid, "the secret cannot be read").WithHint("check the name given with --secret-file")
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSecretInput))
	if err != nil {
		return "", fault.Wrap(err, fault.Invalid, "the secret cannot be read").WithHint("check the name given with --secret-file")
	}
	return strings.TrimSpace(string(data)), nil
}

// verify gets a token and asks whose it is.
func verify(ctx context.Context, p config.Profile, secret accesskey.Secret) (api.WhoAmI, error) {
	who, err := connect(p.Server, "", p.KeyID, secret.Reveal()).WhoAmI(ctx)
	if err == nil && (who.KeyID != p.KeyID || who.ProjectID == "") {
		err = fault.New(fault.Internal, fmt.Sprintf("%s does not answer like a control plane of Postern", p.Server)).WithHint("--server must be the control listener, not the gateway")
	}
	return who, err
}

// exchange puts secret and profile in the place of those before, or leaves all
// as it was.
func exchange(ctx context.Context, cfg *config.Config, box *keychain.Keychain, p config.Profile, secret accesskey.Secret, before string) error {
	resume, err := cfg.SuspendProfile()
	if err != nil {
		return err
	}
	if err = box.Set(ctx, account(cfg), secret.Reveal()); err == nil {
		err = cfg.SaveProfile(p)
	}
	if err == nil {
		return nil
	}
	// Also after an interrupt; and the old profile only beside its own secret.
	undone := putBack(context.WithoutCancel(ctx), box, account(cfg), before)
	if undone == nil {
		undone = resume()
	}
	if undone != nil {
		return fault.Wrap(errors.Join(err, undone), fault.KindOf(err), "the login failed half-way, and you are signed out; the keychain may hold the new secret").
			WithHint("sign in again, or remove what is left: postern auth logout --profile " + cfg.Profile)
	}
	return err
}

// putBack makes the keychain what it was.
func putBack(ctx context.Context, box *keychain.Keychain, account, before string) error {
	if before != "" {
		return box.Set(ctx, account, before)
	}
	if err := box.Delete(ctx, account); !errors.Is(err, keychain.ErrNotFound) {
		return err
	}
	return nil
}

func greet(out printer, l loginLine) {
	out.line("Signed in to %s.", clean(l.Server))
	out.line("profile  %s", clean(l.Profile))
	out.line("project  %s", clean(l.ProjectID))
	out.line("key ID   %s (%s)", clean(l.KeyID), clean(strings.Join(l.Scopes, ", ")))
	out.line("secret   in %s", clean(l.SecretIn))
}
