//go:build !windows

package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"postern.dev/postern/internal/config"
	"postern.dev/postern/internal/devpage"
	"postern.dev/postern/internal/devserver"
	"postern.dev/postern/internal/fault"
	"postern.dev/postern/internal/gateway"
	"postern.dev/postern/internal/httpx"
	"postern.dev/postern/internal/scaffold"
	"postern.dev/postern/internal/state"
	"postern.dev/postern/internal/supervisor"
	"postern.dev/postern/internal/telemetry"
	"postern.dev/postern/internal/worker"
)

type devOptions struct {
	host    string
	port    uint16
	inspect string // a port; empty: no inspector
	asJSON  bool

	tunnel, insecure bool
	unpaired         bool // without a pair of credentials, as if nobody were signed in
}

// defaultInspect is the port at which debuggers look for Node.
const defaultInspect = "9229"

func newFunctionsDev(std Stdio) *cobra.Command {
	o := devOptions{}
	cmd := &cobra.Command{
		Use:   "dev [DIR]",
		Short: "Run a function here, and anew whenever it is saved",
		Long: "Run the function in DIR (default: here) as it runs when it is deployed: the same checks,\n" +
			"the same runtime. A request that comes after a file was saved is answered by the code\n" +
			"that was saved, or told why it does not run.\n\n" +
			"Guarded handlers are opened with PROJECT_ID_API_KEY and PROJECT_ID_API_SECRET of the\n" +
			"environment, or with the key of postern auth login. Without either, or with\n" +
			"--no-credentials, they are open, and each call of one says so.\n\n" +
			"The cache is in memory; storage is in ./storage and the database in ./data.\n" +
			"Ctrl-C ends it.",
		Args: optional("directory"),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := "."
			if len(args) == 1 {
				dir = args[0]
			}
			return dev(cmd, std, dir, o)
		},
	}
	remote(cmd, &o.asJSON)
	settingFlagsOf(cmd, "node")
	f := cmd.Flags()
	f.Uint16Var(&o.port, "port", 3000, "port to listen on; 0 takes a free one")
	f.StringVar(&o.host, "host", "127.0.0.1", "address to listen on; one that others reach takes requests for any host")
	f.StringVar(&o.inspect, "debug", "", "let a debugger attach at this port of 127.0.0.1, and write .vscode/launch.json")
	f.Lookup("debug").NoOptDefVal = defaultInspect
	f.BoolVar(&o.unpaired, "no-credentials", false, "as if nobody were signed in: guarded handlers are open, and the function has no key")
	o.tunnelFlags(cmd)
	f.Lookup("json").Usage = "print each event as one line of JSON"
	return cmd
}

func dev(cmd *cobra.Command, std Stdio, dir string, o devOptions) error {
	ctx := cmd.Context()
	cfg, err := settings(cmd)
	if err != nil {
		return err
	}
	inspect, err := o.inspectPort()
	if err != nil {
		return err
	}
	ln, err := listenDev(ctx, o)
	if err != nil {
		return err
	}
	defer ln.Close()
	found := &devSettings{std: std, cfg: cfg, process: config.Process(), unpaired: o.unpaired}
	d, err := devserver.New(devserverOptions(std, cfg, dir, ln, inspect, found))
	if err != nil {
		return err
	}
	if inspect > 0 {
		if f, ok := errors.AsType[*fault.Error](scaffold.Launch(d.Dir(), inspect)); ok { // a debugger can be attached all the same
			d.Warn(f.Text + ": " + f.Hint)
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- o.runDev(ctx, cmd, d, devLog(std, cfg)); cancel() }()
	screen := devScreen{out: newPrinter(std.Out), asJSON: o.asJSON, d: d, inspect: inspect}
	screen.follow(ctx)
	return <-ended
}

func devserverOptions(std Stdio, cfg *config.Config, dir string, ln net.Listener, inspect int, found *devSettings) devserver.Options {
	home, _ := os.UserHomeDir()
	log := devLog(std, cfg)
	return devserver.Options{
		Dir: dir, Listener: ln, Node: cfg.Node, Search: config.SearchPath(), Home: home, AnyHost: !loopback(ln), Inspect: inspect,
		Settings: found.resolve,
		Page:     func(d *devserver.Server) http.Handler { return devpage.New(d, log) },
		Workers: supervisor.Options{Workers: cfg.Workers, MaxInFlight: cfg.MaxInFlight, MaxSockets: cfg.MaxSockets, Queue: cfg.Queue,
			QueueTimeout: cfg.QueueTimeout, StartTimeout: cfg.StartTimeout, DrainTimeout: cfg.DrainTimeout},
		Gateway: gateway.Options{Timeout: cfg.Timeout, Message: int64(cfg.SocketMessage), Ping: cfg.SocketPing},
		State: state.Options{CacheEntries: int64(cfg.CacheEntries), CacheBytes: int64(cfg.CacheSize) << 20, ObjectBytes: int64(cfg.StorageObjectSize) << 20,
			StorageObjects: int64(cfg.StorageObjects), StorageBytes: int64(cfg.StorageSize) << 20},
		WorkerMemory: int64(cfg.WorkerMemory) << 20,
		Log:          log,
	}
}

// devLog is the server's own log: what it has to say of the function is on the
// screen already.
func devLog(std Stdio, cfg *config.Config) *slog.Logger {
	if cfg.Origin("log-level").Source == config.FromDefault {
		return slog.New(slog.DiscardHandler)
	}
	return telemetry.NewLogger(std.Err, cfg.LogFormat, cfg.LogLevel)
}

// inspectPort is the port of the inspector; 0: there is none.
func (o devOptions) inspectPort() (int, error) {
	if o.inspect == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(o.inspect, 10, 16)
	if err != nil || n == 0 {
		return 0, usageError{fmt.Sprintf("--debug takes a port, and %q is none", o.inspect), "postern functions dev --debug=9229"}
	}
	return int(n), nil
}

func loopback(ln net.Listener) bool {
	a, ok := ln.Addr().(*net.TCPAddr)
	return ok && a.IP.IsLoopback()
}

// listenDev takes the port, or says at once who has it.
func listenDev(ctx context.Context, o devOptions) (net.Listener, error) {
	host := o.host
	if strings.EqualFold(host, "localhost") {
		host = "127.0.0.1"
	}
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err != nil {
		return nil, usageError{fmt.Sprintf("--host takes an address of this machine, and %q is none", o.host), "127.0.0.1 for this machine alone, 0.0.0.0 for all that reach it"}
	}
	ln, err := httpx.Listen(ctx, net.JoinHostPort(strings.Trim(host, "[]"), strconv.Itoa(int(o.port))), "--port")
	if codeOf(err) != "port_in_use" {
		return ln, err
	}
	text := "the port " + strconv.Itoa(int(o.port)) + " is in use"
	if pid, name := worker.ListenerAt(o.port); pid > 0 {
		text += fmt.Sprintf(" by %s (process %d)", clean(name), pid)
	}
	return nil, fault.Wrap(err, fault.Unavailable, text).WithCode("port_in_use").
		WithHint(fmt.Sprintf("stop that program, or choose another port: postern functions dev --port %d", nextPort(o.port)))
}

func nextPort(p uint16) uint16 {
	if p < 65535 {
		return p + 1
	}
	return 3000
}
