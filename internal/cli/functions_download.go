package cli

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/bundle"
	"postern.dev/postern/internal/environ"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/userfile"
)

type downloadOptions struct {
	version int
	output  string
	asJSON  bool
}

// downloadedLine is what `postern functions download --json` prints.
type downloadedLine struct {
	Function string   `json:"function"`
	Output   string   `json:"output"`
	Files    []string `json:"files"`
}

func newFunctionsDownload(std Stdio) *cobra.Command {
	o := downloadOptions{}
	cmd := remote(&cobra.Command{
		Use:   "download NAME",
		Short: "Get back the project of a version, without a value of any secret",
		Long: "Get back the project that a version was deployed from, into a new directory or a zip\n" +
			"file. It has no file that begins with a dot but a .env with the names of its settings,\n" +
			"and no value of any: those of secrets leave the platform for the function alone.",
		Example: "  postern functions download shop\n" +
			"  postern functions download shop --version 3 --output shop-3.zip",
		Args: exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.version < 0 || cmd.Flags().Changed("version") && o.version == 0 {
				return usageError{"--version must be the number of a version", "list them with: postern functions versions " + clean(args[0])}
			}
			client, err := signedIn(cmd)
			if err != nil {
				return err
			}
			return download(cmd.Context(), std, client, args[0], o)
		},
	}, &o.asJSON)
	cmd.Flags().IntVar(&o.version, "version", 0, "which one (default: the active one)")
	cmd.Flags().StringVar(&o.output, "output", "", "a new directory, or a file that ends with .zip (default: ./NAME)")
	return cmd
}

func download(ctx context.Context, std Stdio, client *api.Client, name string, o downloadOptions) error {
	if o.output == "" {
		if o.output = filepath.Base(filepath.Clean("/" + name)); o.output != name {
			return usageError{quote(clean(name)) + " is no name of a function", "list the functions with: postern functions list"}
		}
	}
	if _, err := os.Lstat(o.output); err == nil { // before anything is asked for
		return notWritten(o.output, orElsewhere, fs.ErrExist)
	}
	data, err := client.Sources(ctx, name, o.version)
	if err != nil {
		return err
	}
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return fault.Wrap(err, fault.Internal, "what the server sent is no zip file")
	}
	line := downloadedLine{name, o.output, []string{}}
	for _, f := range z.File {
		line.Files = append(line.Files, f.Name)
	}
	if strings.EqualFold(filepath.Ext(o.output), ".zip") {
		err = userfile.PutNew(o.output, data, 0o600)
	} else {
		err = extract(z, o.output)
	}
	if err != nil {
		return notWritten(o.output, orElsewhere, err)
	}
	out := newPrinter(std.Out)
	if o.asJSON {
		return out.json(line)
	}
	out.line("%s: %d files in %s", clean(name), len(line.Files), clean(o.output))
	return nil
}

// orElsewhere is what to do where what is there stays.
const orElsewhere = "remove it, or name another place: --output DIR"

// extract unpacks what a server sent into a new directory: nothing that leads out
// of it, no link, nothing twice, and not more than a project can have. It gets its
// name when it is whole.
func extract(z *zip.Reader, dir string) error {
	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".postern-download-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	root, err := os.OpenRoot(tmp)
	if err != nil {
		return err
	}
	defer root.Close()
	left := int64(3 * bundle.MaxBytes) // sources, what is served, and room
	for _, f := range z.File {
		if err := extractOne(root, f, &left); err != nil {
			return fault.Wrap(err, fault.Internal, fmt.Sprintf("what the server sent is no project: %.100q: %v", f.Name, err)).WithCode("sources_invalid").
				WithHint("nothing was written; whoever runs the server should look at it")
		}
	}
	if err := os.Rename(tmp, dir); err != nil {
		if _, there := os.Lstat(dir); there == nil {
			return fs.ErrExist
		}
		return err
	}
	return nil
}

func extractOne(root *os.Root, f *zip.File, left *int64) error {
	if !fs.ValidPath(f.Name) || strings.ContainsAny(f.Name, "\\:\x00") || !filepath.IsLocal(filepath.FromSlash(f.Name)) {
		return errors.New("it leads elsewhere")
	}
	if f.Name != environ.DotenvFile && bundle.CheckSourceName(f.Name) != nil {
		return errors.New("no file of a project has such a name")
	}
	if !f.Mode().IsRegular() {
		return errors.New("it is no regular file")
	}
	r, err := f.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	if dir := path.Dir(f.Name); dir != "." {
		if err := root.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	out, err := root.OpenFile(f.Name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	n, err := io.Copy(out, io.LimitReader(r, *left+1))
	if *left -= n; *left < 0 {
		err = errors.New("it is too large")
	}
	return errors.Join(err, out.Close())
}
