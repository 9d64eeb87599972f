package simulate

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"trunkline.dev/trunkline/domain/catalog"
)

// Report is the outcome of a run.
type Report struct {
	Org    string
	Played time.Duration
	// Kinds are the facts, by kind of entity.
	Kinds []KindRow
	// Webhooks are the endpoints of the run.
	Webhooks []WebhookRow
	// LogDuplicates counts records that stand twice in the log: retries after a
	// crash. Every read model removed them.
	LogDuplicates int
	// Differences say in words what does not agree, a few of each kind.
	Differences []string
}

// KindRow compares the stores for one kind of entity.
type KindRow struct {
	Kind string
	// Sent is what the API acknowledged; Own what the hub appended by itself.
	Sent, Own, Kafka, Postgres, ClickHouse int
}

// WebhookRow compares what was owed with what was received.
type WebhookRow struct {
	Dialect        string
	Owed, Received int
	// Accounted is how many events the hub itself says were delivered.
	Accounted int
	// Repeats are requests beyond the first of a delivery: at least once.
	Repeats int
}

// Reconciled reports whether everything agrees.
func (r Report) Reconciled() bool { return len(r.Differences) == 0 }

// Write prints the report as a table.
func (r Report) Write(w io.Writer) error {
	t := tabwriter.NewWriter(w, 2, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\tsent\thub's own\tKafka\tPostgres\tClickHouse\t")
	for _, k := range r.Kinds {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t\n", k.Kind, k.Sent, k.Own, k.Kafka, k.Postgres, k.ClickHouse)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if len(r.Webhooks) > 0 {
		fmt.Fprintln(t, "\nwebhooks\towed\treceived\taccounted\trepeated\t")
		for _, h := range r.Webhooks {
			fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t\n", h.Dialect, h.Owed, h.Received, h.Accounted, h.Repeats)
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	fmt.Fprintf(w, "\nrecords that stand twice in the log, removed by every read model: %d\n", r.LogDuplicates)
	if r.Reconciled() {
		_, err := fmt.Fprintln(w, "reconciled: sent = in Kafka = in Postgres = in ClickHouse, webhooks owed = received = accounted for")
		return err
	}
	fmt.Fprintln(w, "NOT RECONCILED:")
	for _, d := range r.Differences {
		fmt.Fprintln(w, " -", d)
	}
	return nil
}

// reconcile compares until all agree or the patience ends: the stores may lag,
// and a call that nobody disposed settles two minutes after its end. With an error
// the report is that of a whole comparison, or empty: in a part of one nothing may
// differ because nothing was compared.
func (d *day) reconcile(ctx context.Context) (Report, error) {
	log := newLogReader(d.o.Stores, d.org, d.starts)
	deadline := time.Now().Add(d.o.Patience)
	var last error
	for {
		rep, err := d.compare(ctx, log)
		if err != nil {
			rep = Report{}
		} else if rep.Reconciled() {
			return rep, nil
		}
		if time.Now().After(deadline) {
			if err != nil {
				return rep, fmt.Errorf("comparing the stores: %w", err)
			}
			return rep, nil
		}
		if err != nil && (last == nil || err.Error() != last.Error()) {
			fmt.Fprintln(d.o.Progress, "a store does not answer yet:", err)
		}
		last = err
		if err := rest(ctx, time.Second); err != nil {
			return rep, err
		}
	}
}

func (d *day) compare(ctx context.Context, log *logReader) (Report, error) {
	rep := Report{Org: d.org}
	if err := log.advance(ctx); err != nil {
		return rep, err
	}
	pg, err := postgresFacts(ctx, d.o.Stores.PostgresURL, d.org)
	if err != nil {
		return rep, err
	}
	ch, err := clickhouseFacts(ctx, d.o.Stores.ClickHouseURL, d.org)
	if err != nil {
		return rep, err
	}
	distinct := 0
	for _, kind := range kinds {
		facts := log.facts[kind]
		distinct += len(facts)
		row := KindRow{Kind: kind, Kafka: len(facts), Postgres: len(pg[kind]), ClickHouse: len(ch[kind])}
		row.Sent, row.Own = d.compareLedger(kind, facts, &rep)
		rep.diff("in Kafka but not in Postgres, "+kind, missing(facts, pg[kind]))
		rep.diff("in Kafka but not in ClickHouse, "+kind, missing(facts, ch[kind]))
		rep.diff("in Postgres but not in Kafka, "+kind, missing(pg[kind], facts))
		rep.diff("in ClickHouse but not in Kafka, "+kind, missing(ch[kind], facts))
		rep.Kinds = append(rep.Kinds, row)
	}
	rep.LogDuplicates = log.records - distinct
	if d.recv != nil {
		d.compareWebhooks(log, &rep)
		if !rep.Reconciled() {
			return rep, nil // the hub would say so too
		}
		if err := d.compareAccounts(ctx, &rep); err != nil {
			return rep, fmt.Errorf("asking the hub for its accounts: %w", err)
		}
	}
	return rep, nil
}

// ownTypes are the types of facts that only the hub says.
var ownTypes = func() map[string]bool {
	own := make(map[string]bool)
	for _, e := range catalog.All() {
		own[string(e.Type)] = e.Own
	}
	return own
}()

// compareLedger holds what was acknowledged, entity by entity, against Kafka.
func (d *day) compareLedger(kind string, facts map[string]fact, rep *Report) (sent, own int) {
	inLog := make(map[string]int)
	for _, f := range facts {
		if ownTypes[f.typ] {
			own++ // nobody sent it
			continue
		}
		inLog[f.entity]++
	}
	d.ledger.mu.Lock()
	defer d.ledger.mu.Unlock()
	var wrong []string
	for e, n := range d.ledger.counts {
		if e.kind != kind {
			continue
		}
		sent += n
		if inLog[e.id] != n {
			wrong = append(wrong, fmt.Sprintf("%s: %d acknowledged, %d in Kafka", e.id, n, inLog[e.id]))
		}
		delete(inLog, e.id)
	}
	for id, n := range inLog {
		wrong = append(wrong, fmt.Sprintf("%s: 0 acknowledged, %d in Kafka", id, n))
	}
	slices.Sort(wrong)
	rep.diff("acknowledged ≠ in Kafka, "+kind, wrong)
	return sent, own
}

func (d *day) compareWebhooks(log *logReader, rep *Report) {
	all := make(map[string]bool)
	for _, kind := range kinds {
		for id := range log.facts[kind] {
			all[id] = true
		}
	}
	d.ledger.mu.Lock()
	over, disposed := maps.Clone(d.ledger.over), maps.Clone(d.ledger.verdict)
	d.ledger.mu.Unlock()
	for _, h := range d.hooks {
		owed := map[string]map[string]bool{"trunkline": all, "dialercx": over, "dylr": disposed}[h.dialect]
		got, requests, refused := d.recv.got(h.dialect)
		deliveries := 0
		var twice []string
		for s, n := range got {
			deliveries += n
			if n > 1 {
				twice = append(twice, s)
			}
		}
		rep.Webhooks = append(rep.Webhooks, WebhookRow{Dialect: h.dialect, Owed: len(owed), Received: len(got), Repeats: requests - len(refused) - deliveries})
		rep.diff("webhooks owed but not received, "+h.dialect, missing(owed, got))
		rep.diff("webhooks received but not owed, "+h.dialect, missing(got, owed))
		rep.diff("more than one delivery for the same fact, "+h.dialect, twice)
		rep.diff("webhooks with a bad signature, "+h.dialect, refused)
	}
}

// missing lists the keys of a that b lacks.
func missing[A, B any](a map[string]A, b map[string]B) []string {
	var out []string
	for k := range a {
		if _, ok := b[k]; !ok {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return out
}

func (r *Report) diff(what string, ids []string) {
	if len(ids) == 0 {
		return
	}
	r.Differences = append(r.Differences, fmt.Sprintf("%s: %d, for example %s", what, len(ids), strings.Join(ids[:min(3, len(ids))], ", ")))
}
