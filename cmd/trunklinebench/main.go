// Command trunklinebench measures the hub against something run beside it in
// the same run, because machines differ and are noisy: what counts is the
// ratio. It starts a hub of its own with everything embedded, loads it through
// the public API and prints the rows that the README quotes.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

// row is one line of the table: what was measured, its baseline in the same
// run, and what DESIGN asks for.
type row struct {
	what, measured, baseline, ratio, wanted string
}

// options say how much load; the defaults take about five minutes.
type options struct {
	program string
	events  int
	seconds int
	pending int
	only    string
	// profiles is a folder for the hub's profiles; "" takes none.
	profiles string
}

func main() {
	var o options
	flag.StringVar(&o.program, "program", "", "the trunkline binary; empty builds it")
	flag.IntVar(&o.events, "events", 20_000, "events per throughput row")
	flag.IntVar(&o.seconds, "seconds", 10, "length of a latency row")
	flag.IntVar(&o.pending, "pending", 100_000, "deliveries that wait for a retry in the row about them")
	flag.StringVar(&o.only, "only", "", "measure only these, with commas: latency, deliveries, 1000 endpoints, 1 of 10 hangs, 1 of 100 hangs, intake, lookup, pending retries, rebuilds, memory")
	flag.StringVar(&o.profiles, "profiles", "", "keep the hub's profiles of each step in this folder, and say which process used the processor")
	plot := flag.String("plot", "", "draw the latencies into this SVG file")
	readme := flag.String("into", "", "write the table between the <!-- bench --> marks of this file")
	bare := flag.Bool("bare", false, "be the bare loop that a run starts: what to post comes on standard input")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, o, *bare, *plot, *readme); err != nil {
		fmt.Fprintln(os.Stderr, "trunklinebench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options, bare bool, plot, readme string) error {
	if bare {
		return runBare(ctx, os.Stdin, os.Stdout)
	}
	rows, lines, err := measure(ctx, o)
	if err == nil {
		err = printTable(os.Stdout, rows)
	}
	if err == nil && plot != "" {
		err = writePlot(plot, lines)
	}
	if err == nil && readme != "" {
		err = writeInto(readme, rows)
	}
	return err
}

// measure runs every row against one hub, the quiet ones first.
func measure(ctx context.Context, o options) ([]row, []line, error) {
	h, err := startHub(ctx, o.program)
	if err != nil {
		return nil, nil, err
	}
	defer h.stop()
	b := &bench{o: o, hub: h}
	if err := b.prepare(ctx); err != nil {
		return nil, nil, err
	}
	defer b.sink.stop()
	p := newProfiler(h, o.profiles)
	var rows []row
	for _, step := range []struct {
		name string
		run  func(context.Context) ([]row, error)
	}{
		{"latency", b.latency},
		{"deliveries", b.deliveries},
		{"1000 endpoints", b.many},
		{"1 of 10 hangs", b.hangingTen},
		{"1 of 100 hangs", b.hangingHundred},
		{"intake", b.intake},
		{"lookup", b.lookup},
		{"pending retries", b.pending}, // it leaves the hub 100,000 deliveries to drop
		{"rebuilds", b.rebuilds},
		{"memory", b.memory},
	} {
		if o.only != "" && !slices.Contains(strings.Split(o.only, ","), step.name) {
			continue
		}
		fmt.Fprintf(os.Stderr, "%s  measuring %s\n", time.Now().Format("15:04:05"), step.name)
		var more []row
		err := p.during(ctx, step.name, func() (err error) { more, err = step.run(ctx); return err })
		if err != nil {
			return nil, nil, fmt.Errorf("measuring %s: %w", step.name, err)
		}
		if err := b.hub.forgetPeak(); err != nil {
			return nil, nil, err
		}
		fmt.Fprintf(os.Stderr, "          the hub has held up to %s so far\n", memory(b.hub.peak))
		rows = append(rows, more...)
	}
	return rows, b.lines, nil
}

func printTable(w io.Writer, rows []row) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "what\tmeasured\tbaseline in the same run\tratio\taim")
	for _, r := range rows {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", r.what, r.measured, r.baseline, r.ratio, r.wanted)
	}
	return t.Flush()
}

// The marks of the README.
const (
	marksBegin = "<!-- bench -->"
	marksEnd   = "<!-- /bench -->"
)

func writeInto(path string, rows []row) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	before, rest, ok1 := strings.Cut(string(b), marksBegin)
	_, after, ok2 := strings.Cut(rest, marksEnd)
	if !ok1 || !ok2 {
		return fmt.Errorf("%s has no %s and %s", path, marksBegin, marksEnd)
	}
	var t strings.Builder
	t.WriteString("| what | measured | baseline in the same run | ratio | aim |\n| --- | --- | --- | --- | --- |\n")
	for _, r := range rows {
		fmt.Fprintf(&t, "| %s | %s | %s | %s | %s |\n", r.what, r.measured, r.baseline, r.ratio, r.wanted)
	}
	if err := os.WriteFile(path, []byte(before+marksBegin+"\n"+t.String()+marksEnd+after), 0o644); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}
