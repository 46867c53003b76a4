package cli

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"postern.dev/postern/internal/api"
	"postern.dev/postern/internal/fault"
)

type callOptions struct {
	method, data, as string
	headers          []string
	asJSON           bool
}

func newFunctionsCall(std Stdio) *cobra.Command {
	o := callOptions{}
	cmd := remote(&cobra.Command{
		Use:   "call NAME [PATH]",
		Short: "Send a request to a function, through every step of the gateway",
		Long: "Send a request to a function and print the answer that a caller would get.\n\n" +
			"The server sends it to its own gateway, so that nothing of it is skipped and private\n" +
			"functions can be called too: with a token of your access key (--as caller), as the\n" +
			"function itself calls others (--as function), or without a credential (--as nobody).\n" +
			"The body goes to standard output; status, time and request ID to standard error. The\n" +
			"exit code is 0 for an answer below 400; else that of postern explain for such a status.",
		Args: between("NAME", "PATH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := o.request(cmd, std, append(args[1:], "/")[0])
			if err != nil {
				return err
			}
			client, err := signedIn(cmd)
			if err != nil {
				return err
			}
			res, err := client.SendRequest(cmd.Context(), args[0], in)
			if err != nil {
				return err
			}
			return printAnswer(std, args[0], res, o.asJSON)
		},
	}, &o.asJSON)
	cmd.Flags().StringVarP(&o.method, "method", "X", "", "its method (default GET; with --data POST)")
	cmd.Flags().StringArrayVarP(&o.headers, "header", "H", nil, "a header field, as 'Name: value'; may be repeated")
	cmd.Flags().StringVarP(&o.data, "data", "d", "", "its body: a text, @FILE, or - for standard input")
	cmd.Flags().StringVar(&o.as, "as", api.AsCaller, "caller, function or nobody")
	return cmd
}

// request is what is to be sent.
func (o callOptions) request(cmd *cobra.Command, std Stdio, path string) (in api.SendRequest, err error) {
	const see = "see postern functions call --help"
	if o.as != api.AsCaller && o.as != api.AsFunction && o.as != api.AsNobody {
		return in, usageError{"--as must be caller, function or nobody", see}
	}
	in = api.SendRequest{Method: o.method, Path: "/" + strings.TrimPrefix(path, "/"), As: o.as, Headers: map[string]string{}}
	for _, line := range o.headers {
		name, value, ok := strings.Cut(line, ":")
		if name = strings.TrimSpace(name); !ok || name == "" {
			return in, usageError{"--header must be of the form 'Name: value'", see}
		}
		if before, twice := in.Headers[name]; twice {
			value = before + ", " + strings.TrimSpace(value)
		}
		in.Headers[name] = strings.TrimSpace(value)
	}
	if !cmd.Flags().Changed("data") {
		return in, nil
	}
	in.Method = cmp.Or(o.method, "POST")
	body, err := readData(std.In, o.data)
	if in.Body = string(body); !utf8.Valid(body) {
		in.Body, in.BodyBase64 = "", base64.StdEncoding.EncodeToString(body)
	}
	return in, err
}

// readData is what --data says: a text, or where to read it.
func readData(in io.Reader, data string) ([]byte, error) {
	file, named := strings.CutPrefix(data, "@")
	switch {
	case data == "-" || data == "@-":
	case !named:
		return []byte(data), nil
	default:
		f, err := os.Open(file)
		if err != nil {
			return nil, usageError{"cannot read " + quote(clean(file)) + ": " + cause(err), "name the file as --data @FILE"}
		}
		defer f.Close()
		in = f
	}
	const most = 1 << 20 // and one byte more, so that the server says that it is too large
	body, err := io.ReadAll(io.LimitReader(in, most+1))
	if err != nil {
		return nil, usageError{"cannot read the body: " + cause(err), ""}
	}
	return body, nil
}

// printAnswer prints what came back, and fails as the status says.
func printAnswer(std Stdio, name string, res api.SentResponse, asJSON bool) error {
	out, told := newPrinter(std.Out), newPrinter(std.Err)
	if asJSON {
		if err := out.json(res); err != nil {
			return err
		}
	} else {
		if err := printBody(std, res); err != nil {
			return err
		}
		told.line("postern: %d in %.0f ms, request %s", res.Status, res.TookMS, clean(res.RequestID))
		if res.Truncated {
			told.line("postern: %s the answer goes on; this is its beginning", told.paint(yellow, "warning:"))
		}
		if len(res.Dropped) > 0 {
			told.line("postern: %s not sent: %s", told.paint(yellow, "warning:"), clean(strings.Join(res.Dropped, ", ")))
		}
	}
	if res.Status < 400 {
		return nil
	}
	kind := kindOfStatus(res.Status)
	if res.Status >= 500 && kind == fault.Invalid {
		kind = fault.Internal
	}
	return fault.New(kind, fmt.Sprintf("%s answered %d", clean(name), res.Status)).WithCode("answered_" + fmt.Sprint(res.Status)).
		WithHint("postern explain " + clean(res.RequestID))
}

// printBody prints the body as it is; to a terminal without what a terminal obeys.
func printBody(std Stdio, res api.SentResponse) error {
	body := []byte(res.Body)
	if res.BodyBase64 != "" {
		var err error
		if body, err = base64.StdEncoding.DecodeString(res.BodyBase64); err != nil {
			return fault.Wrap(err, fault.Internal, "the server sent a body that is none")
		}
	}
	if !isTerminal(std.Out) {
		_, err := std.Out.Write(body)
		return err
	}
	if res.BodyBase64 != "" {
		newPrinter(std.Err).line("postern: %d bytes that are no text; write them to a file: > FILE", len(body))
	} else if len(body) > 0 {
		newPrinter(std.Out).line("%s", clean(strings.TrimSuffix(string(body), "\n")))
	}
	return nil
}
