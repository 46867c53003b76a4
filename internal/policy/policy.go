// Package policy reads the one document that an operator of a project writes,
// gateway.yaml, and says what it means.
//
// [Parse] takes the text to a [Document]: rules over functions and groups,
// upstreams, and keys by their digests, checked as far as the text alone can
// be, each fault with line and column. [Document.Fit] checks it against what the
// project has. [Compare] tells two of them apart by meaning, [Render] writes one
// anew, and [Table] lists every address that comes of it. What is not understood
// is refused: a rule that was passed over would guard nothing.
//
// The package does no I/O. docs/gateway.md describes the document.
package policy

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/function"
	"postern.dev/postern/internal/platform"
	"postern.dev/postern/internal/signature"
)

// Version is the only one that there is of the document.
const Version = 1

// File is the document's usual name.
const File = "gateway.yaml"

// Document is a policy as it is written. What has a name is sorted by it.
type Document struct {
	Groups    []platform.GroupPolicy
	Functions []platform.FunctionPolicy
	Upstreams []platform.Upstream  // without ID, project and slug
	Keys      []platform.AccessKey // by digest
	name      string
	at        map[string]place // where something stands
}

// place is a line and a column, both from 1.
type place struct{ line, column int }

// Parse reads a document. name is the file's, for messages.
func Parse(name string, data []byte) (*Document, error) {
	p := &parser{doc: &Document{name: name, at: map[string]place{}}}
	number := 0
	for line := range strings.Lines(string(data)) {
		if number++; accesskey.Within(line) {
			return nil, p.failAt(place{number, 1}, "write its digest, which opens nothing, and rotate that key: whoever has read this file has it", "there is the secret of an access key in this line")
		}
	}
	root, err := p.read(data)
	if err != nil {
		return nil, err
	}
	if err := p.document(root); err != nil {
		return nil, err
	}
	p.doc.sort()
	return p.doc, nil
}

func (d *Document) sort() {
	slices.SortFunc(d.Groups, func(a, b platform.GroupPolicy) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(d.Functions, func(a, b platform.FunctionPolicy) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(d.Upstreams, func(a, b platform.Upstream) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(d.Keys, func(a, b platform.AccessKey) int { return strings.Compare(a.ID, b.ID) })
	byName := func(a, b platform.Governed) int { return strings.Compare(a.Name, b.Name) }
	for i := range d.Functions {
		slices.SortFunc(d.Functions[i].Handlers, byName)
		slices.SortFunc(d.Functions[i].Routes, byName)
	}
	for i := range d.Upstreams {
		slices.SortFunc(d.Upstreams[i].Routes, func(a, b platform.UpstreamRoute) int { return strings.Compare(a.Pattern, b.Pattern) })
	}
}

// Policy is what gateways read of the document.
func (d *Document) Policy() platform.Policy {
	return platform.Policy{Functions: slices.Clone(d.Functions), Groups: slices.Clone(d.Groups), Upstreams: slices.Clone(d.Upstreams)}
}

// Fault is a refusal that names a place in the document: that of a key, or that
// of the entry that a policy error is about.
func (d *Document) Fault(err error) error {
	if e, ok := errors.AsType[*function.PolicyError](err); ok {
		return d.refuse(pathOf(e), e.Hint, "%s", e.Text)
	}
	return err
}

// KeyFault is a refusal of what the document says of a key.
func (d *Document) KeyFault(id string, err error) error {
	e, ok := errors.AsType[*fault.Error](err)
	if !ok || e.Kind == fault.Internal || e.Kind == fault.Unavailable {
		return err
	}
	out := d.refuse("key/"+id, e.Hint, "%s", e.Text).(*fault.Error)
	if out.Kind = e.Kind; e.Code != "" {
		out.Code = e.Code
	}
	return out
}

func pathOf(e *function.PolicyError) string {
	switch {
	case e.Group != "":
		return "group/" + e.Group
	case e.Route != "":
		return "function/" + e.Function + "/route/" + e.Route
	case e.Handler != "":
		return "function/" + e.Function + "/handler/" + e.Handler
	}
	return "function/" + e.Function
}

// Line is the line of the entry that a policy error is about; 0 where the
// document has none.
func (d *Document) Line(e *function.PolicyError) int { return d.at[pathOf(e)].line }

func (d *Document) refuse(path, hint, format string, args ...any) error {
	where := d.name
	if at, ok := d.at[path]; ok {
		where = fmt.Sprintf("%s:%d:%d", d.name, at.line, at.column)
	}
	return fault.New(fault.Invalid, where+": "+fmt.Sprintf(format, args...)).WithCode("policy_invalid").WithHint(hint)
}

// Fit checks the document against the functions of a project. It returns
// sentences about what is allowed and may surprise.
func (d *Document) Fit(functions []platform.ActiveFunction) (warnings []string, err error) {
	var names []string
	for _, f := range functions {
		names = append(names, f.Function.Name)
	}
	for _, f := range d.Functions {
		if slices.Contains(names, f.Name) {
			continue
		}
		hint := "deploy it first; until then it is closed anyhow"
		if near := function.Nearest(f.Name, names); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		return nil, d.refuse("function/"+f.Name, hint, "the project has no function %q", f.Name)
	}
	used := map[string]bool{}
	p := d.Policy()
	for _, f := range functions {
		for _, v := range f.Serving() {
			lacking, err := d.fit(f.Function.Name, v, &p, used)
			if err != nil {
				return nil, err
			}
			for _, w := range lacking {
				if !slices.Contains(warnings, w) {
					warnings = append(warnings, w)
				}
			}
		}
	}
	for _, u := range d.Upstreams {
		if _, err := function.GovernUpstream(u, d.Groups); err != nil {
			return nil, d.Fault(err)
		}
		for _, r := range u.Routes {
			used[cmp.Or(r.Group, u.Name)] = true
		}
	}
	return append(warnings, d.unused(used)...), nil
}

// fit checks the document against one version of a function, and notes in which
// groups its addresses are.
func (d *Document) fit(name string, v platform.Deployment, p *platform.Policy, used map[string]bool) (warnings []string, err error) {
	hs, err := function.Govern(v.Handlers, function.PolicyOf(p, name), d.Groups)
	if err != nil {
		return nil, d.Fault(err)
	}
	for _, lacking := range signature.Unset(hs, func(name string) string { return v.Variables[name] }) {
		warnings = append(warnings, "function "+name+": "+lacking)
	}
	for _, door := range function.NewTable(hs).Doors() {
		if door.Handler != nil {
			used[cmp.Or(door.Handler.Group, name)] = true
		}
	}
	return warnings, nil
}

// unused tells of groups that no address is in: a name that was mistyped, or
// one for which the function is still to come.
func (d *Document) unused(used map[string]bool) (warnings []string) {
	for _, g := range d.Groups {
		if !used[g.Name] {
			warnings = append(warnings, fmt.Sprintf("the group %s has no address in it: its rule holds for nothing", g.Name))
		}
	}
	for _, k := range d.Keys {
		for _, g := range k.Groups {
			if !used[g] {
				warnings = append(warnings, fmt.Sprintf("the key %s is for the group %s, and no address is in it", k.DisplayName, g))
			}
		}
	}
	return warnings
}
