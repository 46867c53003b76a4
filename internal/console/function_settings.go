package console

import (
	"strings"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/fault"
)

func (c *Console) registerFunctionSettings() {
	const at = "/p/{project}/functions/{name}/settings"
	c.page("GET "+at, c.functionSettings)
	c.page("POST "+at+"/secrets", c.setSecret)
	c.page("GET "+at+"/secrets/remove", c.askRemoveSecret)
	c.page("POST "+at+"/secrets/remove", c.removeSecret)
}

// functionSettingsPage is what a function runs with. No value of a secret is in it.
type functionSettingsPage struct {
	Name string
	api.Secrets
	Key    string // of the form: which secret is to be set
	Lines  bool   // of the form: its value has several lines
	Wrong  string // what is wrong with Key
	Absent string // what is wrong with the value
}

func (c *Console) functionSettings(v *visit) error {
	p, err := v.settingsOf()
	if err != nil {
		return err
	}
	p.Key = v.r.URL.Query().Get("key")
	return v.show("function-settings", "functions", "Settings of "+p.Name, p)
}

func (v *visit) settingsOf() (p functionSettingsPage, err error) {
	p.Name = v.r.PathValue("name")
	p.Secrets, err = v.api.Settings(v.r.Context(), p.Name)
	return p, err
}

// setSecret sets one secret. Where that fails the page has its name again, and
// never its value.
func (c *Console) setSecret(v *visit) error {
	key, value, lines := strings.TrimSpace(v.r.PostForm.Get("key")), v.r.PostForm.Get("value"), v.r.PostForm.Get("lines")
	p, err := v.settingsOf()
	if err != nil {
		return err
	}
	p.Key, p.Lines = key, lines != ""
	var wrong error
	switch {
	case key == "":
		p.Wrong = "Say which secret it is."
		wrong = fault.New(fault.Invalid, "the secret has no name")
	case value != "" && lines != "":
		p.Absent = "Write the value into one of the two fields."
		wrong = fault.New(fault.Invalid, "there are two values")
	case value == "" && lines == "":
		p.Absent = "Write the value; to have none, remove the secret."
		wrong = fault.New(fault.Invalid, "the secret has no value")
	default:
		if lines != "" {
			value = strings.ReplaceAll(lines, "\r\n", "\n")
		}
		_, wrong = v.api.ChangeSecrets(v.r.Context(), p.Name, api.ChangeSecretsRequest{Set: map[string]string{key: value}})
	}
	if p.Wrong != "" || p.Absent != "" {
		return v.marked(wrong, "function-settings", "functions", "Settings of "+p.Name, p)
	}
	if wrong != nil {
		return v.mistaken(wrong, "function-settings", "functions", "Settings of "+p.Name, p)
	}
	v.said(v.functionPath(p.Name, "/settings"), "secret-set")
	return nil
}

func (c *Console) askRemoveSecret(v *visit) error {
	p, err := v.secretToRemove(v.r.URL.Query().Get("key"))
	if err != nil {
		return err
	}
	return v.show("function-secret-remove", "functions", "Remove "+p.Key+"?", p)
}

// secretToRemove is the page that asks whether one is to be removed.
func (v *visit) secretToRemove(key string) (p functionSettingsPage, err error) {
	if p, err = v.settingsOf(); err != nil {
		return p, err
	}
	p.Key = key
	for _, s := range p.Secrets.Secrets {
		if s.Name == key && !s.Shared {
			return p, nil
		}
	}
	return p, fault.New(fault.NotFound, "the function has no such secret of its own")
}

func (c *Console) removeSecret(v *visit) error {
	p, err := v.secretToRemove(v.r.PostForm.Get("key"))
	if err != nil {
		return err
	}
	if _, err := v.api.ChangeSecrets(v.r.Context(), p.Name, api.ChangeSecretsRequest{Remove: []string{p.Key}}); err != nil {
		return v.mistaken(err, "function-secret-remove", "functions", "Remove "+p.Key+"?", p)
	}
	v.said(v.functionPath(p.Name, "/settings"), "secret-removed")
	return nil
}
