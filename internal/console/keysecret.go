package console

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/fault"
)

// secretPage is what is shown once: the answer to the form that made the secret. It is
// at no address, so that no reload, history or log has it.
type secretPage struct {
	Key     api.AccessKey
	Secret  string
	Rotated bool
	// EndedOlder tells that a secret from before the last rotation was still good.
	EndedOlder bool
	Curl       string // a line to try it with, which asks for the secret
	Done       string // where Confirm leads
}

func (v *visit) showSecret(k api.AccessKey, secret string, rotated, endedOlder bool) error {
	p := secretPage{Key: k, Secret: secret, Rotated: rotated, EndedOlder: endedOlder, Curl: v.curl(k), Done: Dir + v.in("keys?new=") + url.QueryEscape(k.AccessKeyID)}
	title, here := "Key ID and Key Secret", "keys"
	switch {
	case k.ServicePlanID != "":
		title, here, p.Done = "Service plan ID and API token", "service-plans", Dir+v.in("service-plans?new=")+url.QueryEscape(k.AccessKeyID)
	case rotated:
		title, p.Done = "The new Key Secret", Dir+v.keyPath(k.AccessKeyID)
	}
	return v.answer(http.StatusOK, "key-secret", frame{Title: title, Here: here, Body: p})
}

// functionsTried is how many functions are looked at for one that a curl line can call.
const functionsTried = 20

// curl is a line that calls something of the project with a key. It has not the secret
// in it, which would stay in the history of a shell: curl asks for it.
func (v *visit) curl(k api.AccessKey) string {
	if k.Binding != "" {
		return ""
	}
	if k.ServicePlanID != "" {
		return `read -rs TOKEN; curl -H "Authorization: Bearer $TOKEN" ` + quoted(v.c.o.Gateway+"/xms/v1/"+k.ServicePlanID+"/batches")
	}
	line := "curl -u " + k.AccessKeyID + " "
	if !slices.Contains(k.Scopes, "invoke") {
		return line + quoted(v.c.o.Issuer+"/v1/whoami")
	}
	list, err := v.api.FindFunctions(v.r.Context(), api.FunctionQuery{PageSize: functionsTried})
	if err != nil { // the secret must be shown, whatever else fails
		list = api.Functions{}
	}
	for _, f := range list.Functions {
		for _, r := range f.Routes {
			group := r.Group
			if group == "" {
				group = f.Name
			}
			if len(f.URLs) == 0 || r.Guard != "access key" || strings.ContainsAny(r.Path, "{*") || len(k.Groups) > 0 && !slices.Contains(k.Groups, group) {
				continue
			}
			if r.Method != "" && r.Method != http.MethodGet {
				line += "-X " + r.Method + " "
			}
			return line + quoted(strings.TrimRight(f.URLs[0], "/")+escapedPath(r.Path))
		}
	}
	return line + "-d grant_type=client_credentials " + quoted(v.c.o.Issuer+"/oauth2/token")
}

// escapedPath is a route's path as an address has it. It is of ASCII alone then: a
// terminal takes some characters for commands, also within quotes, and curl takes
// brackets for several addresses.
func escapedPath(path string) string { return (&url.URL{Path: path}).EscapedPath() }

// quoted is a word as a shell takes it, in quotes where it needs them.
func quoted(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool {
		return !strings.ContainsRune("/:._-", r) && (r < '0' || r > '9' && r < 'A' || r > 'Z' && r < 'a' || r > 'z')
	}) {
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	return s
}

// graces are for how long the secret of now may stay good beside a new one.
var graces = []struct{ Seconds, Word string }{{"0", "No: it ends at once"}, {"3600", "For an hour"}, {"86400", "For a day"}, {"604800", "For a week"}, {"2592000", "For 30 days"}}

// Graces are the choices of the form.
func (keyPage) Graces() any { return graces }

func (c *Console) askRotate(v *visit) error {
	p, err := v.loadKey()
	if err != nil {
		return err
	}
	p.Grace = "0"
	return v.show("key-rotate", "keys", "Rotate "+p.Key.DisplayName, p)
}

func (c *Console) rotateKey(v *visit) error {
	form := v.r.PostForm
	seen, err := time.Parse(time.RFC3339Nano, form.Get("seen"))
	if err != nil {
		return errForged
	}
	grace, err := strconv.Atoi(form.Get("grace"))
	if err != nil {
		err = fault.New(fault.Invalid, "gracePeriod is no number of seconds")
	}
	var made api.RotatedKey
	if err == nil {
		made, err = v.api.RotateKey(v.r.Context(), v.r.PathValue("key"), api.RotateKeyRequest{GracePeriod: grace, ExpectUpdateTime: &seen})
	}
	if err == nil {
		return v.showSecret(made.AccessKey, made.Secret, true, made.EndedOlderSecret)
	}
	p, loadErr := v.loadKey()
	if loadErr != nil {
		return loadErr
	}
	p.Grace = form.Get("grace")
	if f := v.failureOf(err); f.Code == "key_changed" {
		err = fault.New(fault.Conflict, "Nothing was rotated: the key has been changed or rotated after this form was opened.").WithCode(f.Code).WithHint("If it was you, by sending the form twice, the new secret was shown the first time. Look at the key below, and rotate it again if you do not have its secret.")
	}
	return v.mistaken(err, "key-rotate", "keys", "Rotate "+p.Key.DisplayName, p)
}
