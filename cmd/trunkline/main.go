// Command trunkline is the hub: `trunkline serve` runs it, the other commands
// operate a running one over its API.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"trunkline.dev/trunkline/adapters/dialects"
	"trunkline.dev/trunkline/adapters/embedded/clickhouse"
)

// version is set by the build: -ldflags "-X main.version=1.2.3".
var version = "0.1.0-dev"

// cli is the command line. Settings come from the environment (see Config);
// flags are for what differs from call to call.
type cli struct {
	Serve       serveCommand       `cmd:"" help:"Run the hub."`
	Projections projectionsCommand `cmd:"" help:"See, rebuild, compare, switch read models of a running hub."`
	Dialect     dialectCommand     `cmd:"" help:"Look at webhook formats: render an event, verify a request."`
	Listen      listenCommand      `cmd:"" help:"Forward webhooks of a running hub to a URL on this machine, for development."`
	Trigger     triggerCommand     `cmd:"" help:"Send a made-up event to a URL or a webhook."`
	Replay      replayCommand      `cmd:"" help:"Plan, run, pause, resume, abort replays; see how they went."`
	Deliveries  deliveriesCommand  `cmd:"" help:"See single deliveries, send them again, give them up; account for all of a day."`
	Secrets     secretsCommand     `cmd:"" help:"See and rotate what seals the secrets at rest of a running hub."`
	Recordings  recordingsCommand  `cmd:"" help:"List, fetch, verify, hold recordings of a running hub."`
	Simulate    simulateCommand    `cmd:"" help:"Play a day of a call centre against a running hub and reconcile every store."`
	Settings    settingsCommand    `cmd:"" help:"Print the table of settings."`
	Version     versionCommand     `cmd:"" help:"Print the version."`
}

// streams are where a command writes.
type streams struct{ out, err io.Writer }

// errUsage marks what the caller did wrong: exit code 2.
var errUsage = errors.New("usage")

// misused is an error that is errUsage too and says nothing more than itself:
// a wrong setting is one line.
type misused struct{ error }

func (m misused) Unwrap() []error { return []error{m.error, errUsage} }

// coded is an error with an exit code of its own.
type coded struct {
	error
	code int
}

func main() {
	// The ClickHouse engine's child process is this very program.
	clickhouse.MaybeRunChild()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	code := run(ctx, os.Args[1:], streams{os.Stdout, os.Stderr})
	stop()
	os.Exit(code)
}

// run is main without the process: tests call it. It returns the exit code: 0
// done, 1 failed, 2 called wrongly or a wrong setting, 3 a replay came to its end
// and some of its deliveries did not; from 10 on what the command says (dialect
// verify).
func run(ctx context.Context, args []string, s streams) int {
	var c cli
	exited := -1
	parser, err := kong.New(&c, kong.Name("trunkline"), kong.Description("An event-sourced integration hub for call centres."),
		kong.Writers(s.out, s.err), kong.Exit(func(code int) { exited = code }), kong.UsageOnError(),
		kong.Vars{"dialects": strings.Join(dialects.Names(), ", ")}, kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(s))
	if err != nil {
		fmt.Fprintln(s.err, "trunkline:", err)
		return 1
	}
	k, err := parser.Parse(args)
	if exited >= 0 {
		return exited // --help
	}
	if err != nil {
		fmt.Fprintln(s.err, "trunkline:", err)
		return 2
	}
	var own coded
	switch err := k.Run(); {
	case err == nil:
		return 0
	case errors.As(err, &own):
		fmt.Fprintln(s.err, "trunkline:", err)
		return own.code
	case errors.Is(err, errUsage):
		fmt.Fprintln(s.err, "trunkline:", err)
		return 2
	default:
		fmt.Fprintln(s.err, "trunkline:", err)
		return 1
	}
}

type versionCommand struct{}

func (versionCommand) Run(s streams) error {
	_, err := fmt.Fprintln(s.out, "trunkline", version)
	return err
}

type settingsCommand struct {
	Format string `enum:"markdown,env" default:"markdown" help:"markdown or env."`
	Into   string `help:"Write into this file instead: between its <!-- settings --> marks where it has them, else whole."`
}

func (c settingsCommand) Run(s streams) error {
	var text strings.Builder
	write := writeSettingsTable
	if c.Format == "env" {
		write = writeEnvExample
	}
	if err := write(&text); err != nil {
		return err
	}
	if c.Into == "" {
		_, err := io.WriteString(s.out, text.String())
		return err
	}
	return writeBetweenMarks(c.Into, text.String())
}
