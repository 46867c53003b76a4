package console

import (
	"cmp"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern.dev/postern/internal/accesskey"
	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/fault"
)

// keyForm is the form of a new key or of a change, with what was typed.
type keyForm struct {
	ID      string // of the key that is to be made: a form that is sent twice makes one
	Key     *api.AccessKey
	Values  url.Values
	Field   string // to which the mistake belongs; empty: to none
	Wrong   *failure
	Options bool // more than the name was given, or is wrong
}

// expiresForm is how the end of a key stands in a form: UTC, to the minute.
const expiresForm = "2006-01-02T15:04"

// Has reports whether a box was ticked.
func (f keyForm) Has(name, value string) bool { return slices.Contains(f.Values[name], value) }

// Get is what stands in a field.
func (f keyForm) Get(name string) string { return f.Values.Get(name) }

// At is the mistake of a field; nil: it has none.
func (f keyForm) At(name string) *failure {
	if f.Wrong == nil || f.Field != name {
		return nil
	}
	return f.Wrong
}

func (c *Console) newKey(v *visit) error {
	group := v.r.URL.Query().Get("group") // as the page of the groups asks for one
	return v.show("key-new", "keys", "New access key", keyForm{ID: accesskey.NewID(time.Now()), Values: url.Values{"scope": {"invoke"}, "groups": {group}}, Options: group != ""})
}

func (c *Console) makeKey(v *visit) error {
	form := keyForm{ID: v.r.PostForm.Get("id"), Values: v.r.PostForm}
	change, err := form.read(nil)
	var made api.CreatedKey
	if err == nil {
		in := api.CreateKeyRequest{AccessKeyID: form.ID, DisplayName: *change.DisplayName, Scopes: change.Scopes, Groups: change.Groups, AllowedCIDRs: change.AllowedCIDRs, Quota: change.Quota, Metadata: change.Metadata}
		set(&in.RatePerSecond, change.RatePerSecond)
		set(&in.ExpireTime, change.ExpireTime)
		set(&in.Binding, change.Binding)
		set(&in.CertThumbprint, change.CertThumbprint)
		made, err = v.api.CreateKey(v.r.Context(), in)
	}
	if err != nil {
		return v.wrongKey(err, "key-new", "New access key", form)
	}
	return v.showSecret(made.AccessKey, made.Secret, false, false)
}

// set writes a value where there is one.
func set[T any](into, value *T) {
	if value != nil {
		*into = *value
	}
}

func (c *Console) editKey(v *visit) error {
	k, err := v.liveKey()
	if err != nil {
		return err
	}
	return v.show("key-edit", "keys", "Change "+k.DisplayName, keyForm{Key: &k, Values: valuesOf(k), Options: true})
}

func (c *Console) changeKey(v *visit) error {
	k, err := v.liveKey()
	if err != nil {
		return err
	}
	form := keyForm{Key: &k, Values: v.r.PostForm, Options: true}
	change, err := form.read(&k)
	if err == nil {
		_, err = v.api.UpdateKey(v.r.Context(), k.AccessKeyID, change)
	}
	if err != nil {
		return v.wrongKey(err, "key-edit", "Change "+k.DisplayName, form)
	}
	v.said(v.keyPath(k.AccessKeyID), "key-changed")
	return nil
}

// valuesOf is a key as it stands in a form.
func valuesOf(k api.AccessKey) url.Values {
	values := url.Values{"displayName": {k.DisplayName}, "scope": k.Scopes, "groups": {strings.Join(k.Groups, "\n")}, "allowedCidrs": {strings.Join(k.AllowedCIDRs, "\n")}, "seen": {k.UpdateTime.Format(time.RFC3339Nano)},
		"binding": {cmp.Or(k.Binding, "none")}, "certThumbprint": {k.CertThumbprint}}
	for _, name := range slices.Sorted(maps.Keys(k.Metadata)) {
		values.Add("metadataName", name)
		values.Add("metadataValue", k.Metadata[name])
	}
	if k.ExpireTime != nil {
		values.Set("expireTime", k.ExpireTime.UTC().Format(expiresForm))
	}
	if k.RatePerSecond > 0 {
		values.Set("ratePerSecond", strconv.Itoa(k.RatePerSecond))
	}
	if k.Quota != nil {
		values.Set("quota", strconv.FormatInt(k.Quota.Limit, 10))
		values.Set("per", k.Quota.Per)
	}
	return values
}

// read is what a form asks for. before is the key as it is, whose end stays as it
// is to the second where the form shows the same minute; nil: it is to be made.
func (f *keyForm) read(before *api.AccessKey) (in api.UpdateKeyRequest, err error) {
	name := f.Get("displayName")
	in = api.UpdateKeyRequest{DisplayName: &name, Scopes: append([]string{}, f.Values["scope"]...), Groups: lines(f.Get("groups")), AllowedCIDRs: addresses(lines(f.Get("allowedCidrs")))}
	if seen := f.Get("seen"); seen != "" {
		at, err := time.Parse(time.RFC3339Nano, seen)
		if err != nil {
			return in, errForged
		}
		in.ExpectUpdateTime = &at
	}
	rate, err := number(f.Get("ratePerSecond"), "ratePerSecond")
	if err != nil {
		return in, err
	}
	perSecond := int(min(rate, 1<<31-1)) // the API says how many may be
	in.RatePerSecond = &perSecond
	limit, err := number(f.Get("quota"), "quota")
	if err != nil {
		return in, err
	}
	if limit > 0 || before != nil {
		in.Quota = &api.Quota{Limit: limit, Per: f.Get("per")}
	}
	if f.Values.Has("binding") {
		binding, of := f.Get("binding"), strings.TrimSpace(f.Get("certThumbprint"))
		in.Binding, in.CertThumbprint = &binding, &of
	}
	if in.Metadata, err = f.metadata(); err != nil {
		return in, err
	}
	in.ExpireTime, err = f.end(before)
	return in, err
}

// entry is a row of the form for metadata.
type entry struct{ Name, Value string }

// How many rows for metadata are empty, and how many there are at most.
const freeEntries, mostEntries = 3, 32

// Entries are the rows of metadata as they were typed, and some to type more into.
func (f keyForm) Entries() (out []entry) {
	names, values := f.Values["metadataName"], f.Values["metadataValue"]
	for i := range max(len(names), len(values)) {
		e := entry{nth(names, i), nth(values, i)}
		if e != (entry{}) {
			out = append(out, e)
		}
	}
	return append(out, make([]entry, max(0, min(freeEntries, mostEntries-len(out))))...)
}

// nth is a text of a list; empty beyond its end.
func nth(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return ""
}

// metadata is what was typed; nil: the form does not ask for it.
func (f keyForm) metadata() (map[string]string, error) {
	if !f.Values.Has("metadataName") {
		return nil, nil
	}
	out := map[string]string{}
	for _, e := range f.Entries() {
		if e == (entry{}) {
			continue
		}
		if _, twice := out[e.Name]; twice {
			return nil, fault.New(fault.Invalid, "metadata has a name twice").WithHint("give each entry a name of its own")
		}
		out[e.Name] = e.Value
	}
	return out, nil
}

// More says that what is folded away was filled in, or is wrong.
func (f keyForm) More() bool {
	return f.Get("binding") != "" && f.Get("binding") != "none" || f.Get("certThumbprint") != "" || f.Entries()[0] != (entry{}) ||
		f.Wrong != nil && slices.Contains([]string{"binding", "certThumbprint", "metadata"}, f.Field)
}

// end is when the key is to end, as the API reads it; nil: as it is.
func (f *keyForm) end(before *api.AccessKey) (*string, error) {
	typed := f.Get("expireTime")
	if before != nil && before.ExpireTime != nil && before.ExpireTime.UTC().Format(expiresForm) == typed {
		return nil, nil
	}
	text := ""
	if typed != "" {
		at, err := time.Parse(expiresForm, typed)
		if err != nil {
			return nil, fault.New(fault.Invalid, "expireTime is no time").WithHint("write it like 2030-01-31T12:00; it is UTC")
		}
		text = at.Format(time.RFC3339)
	}
	return &text, nil
}

// number reads a whole number; nothing is 0.
func number(text, field string) (int64, error) {
	if text = strings.TrimSpace(text); text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fault.New(fault.Invalid, field+" is no whole number").WithHint("write digits alone, or leave it empty for no limit")
	}
	return n, nil
}

// lines are the entries of a text: one a line, or several with blanks or commas.
func lines(text string) []string {
	return append([]string{}, strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\r' || r == '\t' })...)
}

// addresses makes a network of each plain address; what is neither is left for the
// API to refuse.
func addresses(from []string) []string {
	for i, text := range from {
		if a, err := netip.ParseAddr(text); err == nil {
			from[i] = netip.PrefixFrom(a, a.BitLen()).String()
		}
	}
	return from
}

// keyFields are the fields of a key's form, by the names that the API has for them.
var keyFields = []string{"displayName", "servicePlanId", "scopes", "groups", "allowedCidrs", "ratePerSecond", "quota", "expireTime", "certThumbprint", "binding", "metadata"}

// fieldWords say them as the form does, at the beginning of what is wrong.
var fieldWords = map[string]string{"displayName": "the name", "servicePlanId": "the service plan ID", "scopes": "what it may do", "groups": "the list of groups",
	"allowedCidrs": "the list of addresses", "ratePerSecond": "the rate", "quota": "the quota", "expireTime": "the end", "certThumbprint": "the certificate", "binding": "the binding", "metadata": "the metadata"}

var errNoPlan = fault.New(fault.Invalid, "servicePlanId is missing").WithHint("write the ID of the service plan that the token is for")

// wrongKey shows a form again, with the mistake beside its field.
func (v *visit) wrongKey(err error, view, title string, form keyForm) error {
	f := v.failureOf(err)
	switch f.Code {
	case "key_exists":
		f.Text, f.Hint = "This form was sent before, and its key was made.", "Its secret was shown then, and is not shown again. If you do not have it, rotate the key."
		return v.answer(http.StatusConflict, "key-made", frame{Title: "The key is there", Here: "keys", Body: form, Failure: f})
	case "display_name_taken":
		form.Field = "displayName"
	}
	first, _, _ := strings.Cut(f.Text, " ")
	for _, text := range []string{first, f.Text} { // what is wrong may quote a text with the name of another field
		for _, name := range keyFields {
			if form.Field == "" && strings.Contains(text, name) {
				form.Field = name
			}
		}
	}
	if field, wrong, _ := strings.Cut(f.Text, " "); form.Field != "" && strings.HasPrefix(field, form.Field) {
		f.Text = fieldWords[form.Field] + " " + wrong
	}
	form.Wrong = f
	form.Options = form.Options || form.More() || form.Field != "displayName" || len(lines(form.Get("groups")+form.Get("allowedCidrs")+form.Get("ratePerSecond")+form.Get("quota")+form.Get("expireTime"))) > 0
	if form.Field == "" || f.Status >= http.StatusInternalServerError {
		return v.mistaken(err, view, "keys", title, form)
	}
	return v.answer(f.ofForm(), view, frame{Title: title, Here: "keys", Body: form, Failure: &failure{Text: "Nothing was saved.", Hint: "Correct the field that is marked.", InField: true}})
}
