package scaffold

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/userfile"
)

// LaunchName is the configuration that a person chooses in the editor to attach a
// debugger.
const LaunchName = "Attach to Postern"

// maxLaunch is more than anybody has written by hand.
const maxLaunch = 1 << 20

// Launch lets the editor attach to a function that runs with its inspector at port:
// it adds one configuration to .vscode/launch.json in dir, or sets the port of the
// one of that name, and leaves all else there as it is, the file's mode included.
// What cannot be added to without a loss is refused, with what is to be added by
// hand: a text with comments, which JSON does not have, and what is no file.
func Launch(dir string, port int) error {
	path := filepath.Join(dir, ".vscode", "launch.json")
	data, mode, err := readLaunch(path)
	if err != nil {
		return launchRefused(err, path, "was not read", port)
	}
	merged, changed, err := mergeLaunch(data, port)
	if err != nil {
		return launchRefused(err, path, "is no plain JSON, and was not changed", port)
	}
	if !changed {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return launchRefused(err, path, "cannot be made", port)
	}
	if err := userfile.Put(path, merged, mode); err != nil {
		return launchRefused(err, path, "cannot be written", port)
	}
	return nil
}

func launchRefused(err error, path, why string, port int) error {
	return fault.Wrap(err, fault.Invalid, path+" "+why).WithCode("setting_invalid").
		WithHint("to its configurations add by hand: " + string(launchText(port)))
}

func readLaunch(path string) (data []byte, mode fs.FileMode, err error) {
	if dir, err := os.Lstat(filepath.Dir(path)); err == nil && !dir.IsDir() { // a link would have us write elsewhere
		return nil, 0, errors.New("its directory is none")
	}
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, 0o644, nil
	case err != nil:
		return nil, 0, err
	case !info.Mode().IsRegular():
		return nil, 0, errors.New("it is no regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	data, err = io.ReadAll(io.LimitReader(f, maxLaunch+1))
	if err == nil && len(data) > maxLaunch {
		err = errors.New("it is too large")
	}
	return data, info.Mode().Perm(), err
}

func launchText(port int) []byte {
	return fmt.Appendf(nil, `{"type":"node","request":"attach","name":%q,"address":"127.0.0.1","port":%d,"restart":true,"skipFiles":["<node_internals>/**"]}`, LaunchName, port)
}

// mergeLaunch adds the configuration to the text of a file. What it does not know
// keeps its text, and members their order.
func mergeLaunch(data []byte, port int) (out []byte, changed bool, err error) {
	if len(bytes.TrimSpace(data)) == 0 {
		data = []byte(`{"version":"0.2.0","configurations":[]}`)
	}
	if commented(data, port) {
		return data, false, nil
	}
	file, err := parseObject(data)
	if err != nil {
		return nil, false, err
	}
	var list [][]byte
	if raw, ok := file.get("configurations"); ok {
		var texts []json.RawMessage
		if err := json.Unmarshal(raw, &texts); err != nil {
			return nil, false, err
		}
		for _, t := range texts {
			list = append(list, t)
		}
	}
	if list, changed, err = withLaunch(list, port); err != nil || !changed {
		return data, false, err
	}
	// Not with Marshal, which would write the < of a person's text in another way.
	file = file.set("configurations", slices.Concat([]byte("["), bytes.Join(list, []byte(",")), []byte("]")))
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, file.text(), "", "  "); err != nil {
		return nil, false, err
	}
	pretty.WriteByte('\n')
	return pretty.Bytes(), true, nil
}

// commented reports whether a text that is no JSON has the configuration, as somebody
// has added it beside their comments.
func commented(data []byte, port int) bool {
	return !json.Valid(data) && bytes.Contains(data, []byte(`"`+LaunchName+`"`)) && bytes.Contains(data, fmt.Appendf(nil, "%d", port))
}

// withLaunch is a list with our configuration, at whose port alone it changes
// anything where it is there.
func withLaunch(list [][]byte, port int) (out [][]byte, changed bool, err error) {
	for i, c := range list {
		var known struct {
			Name string
			Port json.RawMessage
		}
		if json.Unmarshal(c, &known) != nil || known.Name != LaunchName {
			continue
		}
		want := fmt.Appendf(nil, "%d", port)
		if bytes.Equal(known.Port, want) {
			return list, false, nil
		}
		own, err := parseObject(c)
		if err != nil {
			return nil, false, err
		}
		list[i] = own.set("port", want).text()
		return list, true, nil
	}
	return append(list, launchText(port)), true, nil
}

// object is a JSON object whose members keep their order and their text.
type object []member

type member struct {
	name  string
	value json.RawMessage
}

// parseObject reads an object, and refuses what has anything behind it.
func parseObject(data []byte) (out object, err error) {
	if !json.Valid(data) {
		return nil, errors.New("it does not parse")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.Join(errors.New("it is no object"), err)
	}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		m := member{name: t.(string)} // of an object that is valid
		if err := d.Decode(&m.value); err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

func (o object) get(name string) (json.RawMessage, bool) {
	for _, m := range o {
		if m.name == name {
			return m.value, true
		}
	}
	return nil, false
}

func (o object) set(name string, value json.RawMessage) object {
	for i := range o {
		if o[i].name == name {
			o[i].value = value
			return o
		}
	}
	return append(o, member{name, value})
}

func (o object) text() []byte {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		name, _ := json.Marshal(m.name) // a text: cannot fail
		b.Write(name)
		b.WriteByte(':')
		b.Write(m.value)
	}
	b.WriteByte('}')
	return b.Bytes()
}
