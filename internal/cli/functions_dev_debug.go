package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/userfile"
)

// launchName is the configuration that a person chooses in the editor.
const launchName = "Attach to Postern"

// writeLaunch lets the editor attach to the function: it adds one configuration to
// .vscode/launch.json and leaves all else there as it is. A file with comments,
// which JSON does not have, is left alone unless it names the configuration.
func writeLaunch(dir string, port int) error {
	path := filepath.Join(dir, ".vscode", "launch.json")
	data, err := userfile.Read(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	merged, changed, err := mergeLaunch(data, port)
	if err != nil {
		return fault.Wrap(err, fault.Invalid, path+" is no plain JSON, so it was not changed").WithCode("setting_invalid").
			WithHint(fmt.Sprintf("take the comments out of it, or add to its configurations: %s", launchText(port)))
	}
	if !changed {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("make %s: %w", filepath.Dir(path), err)
	}
	return userfile.Write(path, merged)
}

func launchText(port int) []byte {
	text, _ := json.Marshal(launchConfiguration(port)) // texts and numbers: cannot fail
	return text
}

func launchConfiguration(port int) map[string]any {
	return map[string]any{"type": "node", "request": "attach", "name": launchName, "address": "127.0.0.1", "port": port, "restart": true,
		"skipFiles": []string{"<node_internals>/**"}}
}

// mergeLaunch adds the configuration to the text of a file, in place of one of
// the same name. What it does not know keeps its text, and members their order.
func mergeLaunch(data []byte, port int) (out []byte, changed bool, err error) {
	own := json.RawMessage(launchText(port))
	if len(bytes.TrimSpace(data)) == 0 {
		data = []byte(`{"version":"0.2.0","configurations":[]}`)
	}
	if bytes.Contains(data, []byte(`"`+launchName+`"`)) && bytes.Contains(data, fmt.Appendf(nil, "%d", port)) {
		return data, false, nil
	}
	members, err := orderedMembers(data)
	if err != nil {
		return nil, false, err
	}
	at := -1
	var list []json.RawMessage
	for i, m := range members {
		if m.name == "configurations" {
			at = i
			if err := json.Unmarshal(m.value, &list); err != nil {
				return nil, false, err
			}
		}
	}
	if at < 0 {
		at, members = len(members), append(members, member{name: "configurations"})
	}
	kept := []json.RawMessage{}
	for _, c := range list {
		var named struct{ Name string }
		if json.Unmarshal(c, &named); named.Name != launchName {
			kept = append(kept, c)
		}
	}
	if members[at].value, err = json.Marshal(append(kept, own)); err != nil {
		return nil, false, err
	}
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range members {
		if i > 0 {
			b.WriteByte(',')
		}
		name, _ := json.Marshal(m.name)
		b.Write(name)
		b.WriteByte(':')
		b.Write(m.value)
	}
	b.WriteByte('}')
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, b.Bytes(), "", "  "); err != nil {
		return nil, false, err
	}
	pretty.WriteByte('\n')
	return pretty.Bytes(), true, nil
}

type member struct {
	name  string
	value json.RawMessage
}

// orderedMembers are the members of a JSON object as they stand.
func orderedMembers(data []byte) (out []member, err error) {
	d := json.NewDecoder(bytes.NewReader(data))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.Join(errors.New("it is no object"), err)
	}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		name, ok := t.(string)
		m := member{name: name}
		if err := d.Decode(&m.value); err != nil || !ok {
			return nil, errors.Join(errors.New("it does not parse"), err)
		}
		out = append(out, m)
	}
	_, err = d.Token()
	return out, err
}
