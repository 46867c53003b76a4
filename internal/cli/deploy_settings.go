package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/environ"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
)

// settingLine is what a deploy does with one variable or secret. Its value is
// nowhere.
type settingLine struct {
	Name string `json:"name"`
	Kind string `json:"kind"` // variable or secret
	// From is where the value is from: a manifest, .env, the keychain, or the
	// platform, which has one of the function's own or one that its project shares.
	From string `json:"from"`
	// Change is new, changed, same or gone of a variable; of a secret new, set for
	// one that the platform has and gets once more, kept, or missing.
	Change string `json:"change"`
}

// plan are the settings of a deploy, and what is wanting.
type plan struct {
	lines   []settingLine
	missing []string
}

// planSettings compares what is here with what the platform has.
func planSettings(ctx context.Context, client *api.Client, m function.Manifest, r environ.Resolved) (plan, error) {
	variables := map[string]string{}
	for name, value := range m.Variables {
		variables[name] = value
	}
	for name, value := range r.Variables() {
		variables[name] = value
	}
	done, err := client.Plan(ctx, m.Name, api.PlanRequest{Variables: variables})
	if err != nil {
		return plan{}, err
	}
	there, err := secretsThere(ctx, client, m.Name)
	if err != nil {
		return plan{}, err
	}
	var p plan
	for _, s := range r.Settings {
		line := settingLine{Name: s.Name, Kind: "variable", From: string(s.From), Change: done.Variables[s.Name]}
		if s.Secret {
			line.Kind, line.Change = "secret", "new"
			if there[s.Name] == "platform" {
				line.Change = "set"
			}
		}
		p.lines = append(p.lines, line)
	}
	for name, change := range done.Variables {
		if change == "gone" {
			p.lines = append(p.lines, settingLine{name, "variable", "", change})
		}
	}
	for _, name := range r.Missing {
		line := settingLine{name, "secret", there[name], "kept"}
		if line.From == "" {
			line.Change = "missing"
			p.missing = append(p.missing, name)
		}
		p.lines = append(p.lines, line)
	}
	slices.SortFunc(p.lines, func(a, b settingLine) int { return strings.Compare(a.Name, b.Name) })
	return p, nil
}

// secretsThere are the secrets that the platform has for a function: its own, or
// those that its project shares.
func secretsThere(ctx context.Context, client *api.Client, name string) (map[string]string, error) {
	there := map[string]string{}
	shared, err := client.Secrets(ctx, "")
	if err != nil {
		return nil, err
	}
	for _, s := range shared.Secrets {
		there[s.Name] = "shared"
	}
	own, err := client.Secrets(ctx, name)
	if err != nil && fault.KindOf(err) != fault.NotFound { // there is no such function yet
		return nil, err
	}
	for _, s := range own.Secrets {
		if !s.Shared {
			there[s.Name] = "platform"
		}
	}
	return there, nil
}

// secretsMissing refuses a deploy of a function whose secrets have no value
// anywhere.
func secretsMissing(names []string, unasked string) error {
	text := strings.Join(names, ", ") + " has no value, here or on the platform"
	if len(names) > 1 {
		text = strings.Join(names, ", ") + " have no value, here or on the platform"
	}
	if unasked != "" {
		text += "\nThe keychain was not asked: " + unasked
	}
	return fault.New(fault.Invalid, text).WithCode("secret_missing").
		WithHint(fmt.Sprintf("postern secrets add %s; --force deploys without", names[0]))
}

// printSettings prints what a deploy does with each setting.
func printSettings(out printer, lines []settingLine) {
	if len(lines) == 0 {
		return
	}
	rows := make([][]string, len(lines))
	for i, l := range lines {
		rows[i] = []string{l.Name, l.Kind, cmp.Or(l.From, "-"), l.Change}
	}
	out.line("")
	out.table([]string{"SETTING", "KIND", "FROM", "CHANGE"}, rows)
	out.line("")
}
