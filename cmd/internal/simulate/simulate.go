// Package simulate plays a plausible day of a call centre through the hub's
// public API and then reconciles: what was acknowledged is in Kafka, in
// Postgres and in ClickHouse, each event once, and every webhook that was owed
// was received. It looks at each store from outside, never at the hub's memory.
package simulate

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/segmentio/kafka-go/sasl"
)

// Options say which day to play, and where.
type Options struct {
	// BaseURL is the hub's API; AdminKey the first org's admin key.
	BaseURL, AdminKey string
	// Agents work for Hours; Speed is virtual seconds per real second.
	Agents int
	Hours  float64
	Speed  float64
	// Seed makes the day repeatable.
	Seed uint64
	// Webhooks starts a receiver on loopback and owes it webhooks. The hub must
	// be allowed to call it (TRUNKLINE_WEBHOOKS_ALLOW_CIDRS, _ALLOW_HTTP).
	Webhooks bool
	// Patience bounds the wait for the stores to catch up at the end, and how
	// long a request is retried while the hub is away.
	Patience time.Duration
	// Stores is where the reconciliation looks.
	Stores Stores
	// Progress gets the lines that a person watches; nil is silent.
	Progress io.Writer
}

// Stores are the doors of Kafka, Postgres and ClickHouse.
type Stores struct {
	KafkaBrokers []string
	// KafkaTLS and KafkaSASL are used if set.
	KafkaTLS      *tls.Config
	KafkaSASL     sasl.Mechanism
	PostgresURL   string
	ClickHouseURL string
}

func (o Options) validate() error {
	var errs []error
	if o.Agents < 1 || o.Agents > 100_000 {
		errs = append(errs, fmt.Errorf("agents: expected 1 to 100000, got %d", o.Agents))
	}
	if o.Hours <= 0 || o.Hours > 24 {
		errs = append(errs, fmt.Errorf("hours: expected more than 0, at most 24, got %g", o.Hours))
	}
	if o.Speed < 1 {
		errs = append(errs, fmt.Errorf("speed: expected 1 or more, got %g", o.Speed))
	}
	return errors.Join(errs...)
}

// ErrNotReconciled says that the stores disagree; the report says where.
var ErrNotReconciled = errors.New("the day does not reconcile")

// Run plays the day and reconciles it. The report is complete whether or not
// the error is ErrNotReconciled; where nothing could be compared it is empty.
func Run(ctx context.Context, o Options) (Report, error) {
	if err := o.validate(); err != nil {
		return Report{}, err
	}
	if o.Patience == 0 {
		o.Patience = 3 * time.Minute
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	d, err := prepare(ctx, o)
	if err != nil {
		return Report{}, err
	}
	defer d.close()
	began := time.Now()
	if err := d.play(ctx); err != nil {
		return Report{}, err
	}
	fmt.Fprintf(o.Progress, "day played in %s: %d events acknowledged in %d requests, %d retried; reconciling\n",
		time.Since(began).Round(time.Second), d.ledger.total(), d.api.requests.Load(), d.api.retries.Load())
	rep, err := d.reconcile(ctx)
	if err != nil {
		return rep, err
	}
	rep.Played = time.Since(began)
	if !rep.Reconciled() {
		return rep, ErrNotReconciled
	}
	return rep, nil
}

// day is one run.
type day struct {
	o      Options
	api    *client
	clock  virtual
	ledger *ledger
	recv   *receiver
	org    string
	listID string
	starts offsets
	hooks  []hook
}

// hook is an endpoint that the run registered.
type hook struct{ id, dialect string }

// virtual maps real time to the day's time.
type virtual struct {
	realStart, dayStart time.Time
	speed               float64
}

func (v virtual) now() time.Time {
	return v.dayStart.Add(time.Duration(float64(time.Since(v.realStart)) * v.speed))
}

// until waits until the day has come to t.
func (v virtual) until(ctx context.Context, t time.Time) error {
	wait := time.Duration(float64(t.Sub(v.dayStart))/v.speed) - time.Since(v.realStart)
	if wait <= 0 {
		return ctx.Err()
	}
	return rest(ctx, wait)
}

// rest waits for a while; the error is that of a context that ended first.
func rest(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// prepare makes an org of its own, so that counts are exact beside other
// traffic, with a list and the endpoints.
func prepare(ctx context.Context, o Options) (*day, error) {
	root := newClient(o.BaseURL, o.AdminKey, o.Patience)
	var org struct {
		ID       string `json:"id"`
		AdminKey string `json:"admin_key"`
	}
	if err := root.post(ctx, "/v1/orgs", map[string]any{"name": "simulation " + time.Now().UTC().Format(time.RFC3339)}, &org); err != nil {
		return nil, fmt.Errorf("making an org: %w", err)
	}
	d := &day{o: o, api: newClient(o.BaseURL, org.AdminKey, o.Patience), org: org.ID, ledger: newLedger()}
	var list struct {
		ID string `json:"id"`
	}
	if err := d.api.post(ctx, "/v1/lists", map[string]any{"name": "Q2 Florida Realtors", "default_region": "US"}, &list); err != nil {
		return nil, fmt.Errorf("making a list: %w", err)
	}
	d.listID = list.ID
	var err error
	if d.starts, err = ends(ctx, o.Stores); err != nil {
		return nil, fmt.Errorf("reading where the log ends: %w", err)
	}
	if o.Webhooks {
		if err := d.subscribe(ctx); err != nil {
			d.close()
			return nil, err
		}
	}
	// The day lies in the past and ends about now: a source whose clock is hours
	// ahead would be a different test.
	length := time.Duration(o.Hours * float64(time.Hour))
	real := time.Duration(float64(length) / o.Speed)
	d.clock = virtual{realStart: time.Now(), dayStart: time.Now().Add(real - length), speed: o.Speed}
	return d, nil
}

func (d *day) subscribe(ctx context.Context) error {
	recv, err := startReceiver()
	if err != nil {
		return err
	}
	d.recv = recv
	for _, h := range []struct {
		dialect string
		events  []string
	}{
		{"trunkline", []string{"*"}},
		{"dialercx", []string{"call.ended"}},
		{"dylr", []string{"call.completed"}},
	} {
		var made struct {
			ID     string `json:"id"`
			Secret string `json:"secret"`
		}
		body := map[string]any{"name": "simulation " + h.dialect, "dialect": h.dialect, "events": h.events, "url": recv.url(h.dialect)}
		if err := d.api.post(ctx, "/v1/webhooks", body, &made); err != nil {
			return fmt.Errorf("registering a %s webhook (a hub that may call this machine needs TRUNKLINE_WEBHOOKS_ALLOW_CIDRS=127.0.0.0/8 and TRUNKLINE_WEBHOOKS_ALLOW_HTTP=true): %w", h.dialect, err)
		}
		recv.trust(h.dialect, made.Secret)
		d.hooks = append(d.hooks, hook{made.ID, h.dialect})
	}
	return nil
}

func (d *day) close() {
	if d.recv != nil {
		d.recv.stop()
	}
}

// play lets every agent work their day.
func (d *day) play(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stopProgress := d.progress(ctx)
	var wg sync.WaitGroup
	for i := range d.o.Agents {
		wg.Go(func() {
			a := newAgent(d, i, rand.New(rand.NewPCG(d.o.Seed, uint64(i)+1)))
			if err := a.work(ctx); err != nil {
				cancel(fmt.Errorf("agent %d: %w", i, err))
			}
		})
	}
	wg.Wait()
	stopProgress()
	return context.Cause(ctx)
}

// progress prints a line every few seconds; the returned func ends it.
func (d *day) progress(ctx context.Context) func() {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(5 * time.Second)
		defer tick.Stop()
		last, lastAt := 0, time.Now()
		for {
			select {
			case <-done:
				return
			case <-ctx.Done():
				return
			case <-tick.C:
				n, now := d.ledger.total(), time.Now()
				left := time.Duration(d.o.Hours*float64(time.Hour)/d.o.Speed) - time.Since(d.clock.realStart)
				fmt.Fprintf(d.o.Progress, "%s  %d events, %.0f/s, about %s left\n", d.clock.now().Format("15:04"), n,
					float64(n-last)/now.Sub(lastAt).Seconds(), max(0, left).Round(time.Second))
				last, lastAt = n, now
			}
		}
	})
	return func() { close(done); wg.Wait() }
}
