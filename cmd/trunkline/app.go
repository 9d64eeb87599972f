package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"trunkline.dev/trunkline/adapters/clickhouse"
	"trunkline.dev/trunkline/adapters/connectors"
	"trunkline.dev/trunkline/adapters/crm"
	"trunkline.dev/trunkline/adapters/kafka"
	"trunkline.dev/trunkline/adapters/phone"
	"trunkline.dev/trunkline/adapters/postgres"
	"trunkline.dev/trunkline/adapters/postgres/control"
	"trunkline.dev/trunkline/adapters/postgres/deliveries"
	"trunkline.dev/trunkline/adapters/postgres/readmodel"
	"trunkline.dev/trunkline/adapters/postgres/timers"
	"trunkline.dev/trunkline/adapters/webhooks"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/commands/recordings"
	"trunkline.dev/trunkline/commands/settings"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// poolSize bounds the hub's connections to Postgres: projectors hold one per
// partition that they commit, requests one for a query.
const poolSize = 40

// app is one hub: every part that runs in this process, and how to stop it.
type app struct {
	cfg   Config
	log   *slog.Logger
	stack *stack
	door  *door
	// stops are the parts that run, in the order of their start.
	stops []namedStop

	pool       *pgxpool.Pool
	clock      *postgres.Clock
	broker     *kafka.Client
	events     *kafka.Log
	source     *kafka.Source
	analytics  *clickhouse.Store
	settings   *control.Store
	control    *settings.Service
	guard      *webhooks.Guard
	sender     *webhooks.Sender
	connectors *connectors.Set
	keyring    *control.Keyring
	models     *readmodel.Store
	reader     *readmodel.Reader
	progress   *readmodel.Progress
	projector  *projections.Projector
	rebuilder  *projections.Rebuilder
	generation []projections.Generations
	recorder   *commands.Recorder
	recordings *recordings.Service
	owed       *deliveries.Store
	engine     *webhooks.Engine
	deliverer  deliverer
	asker      *crm.Asker
	accountant *webhooks.Accountant
	replays    *webhooks.Replays

	kafkaAccess     kafkaAccess
	adminKey        string
	adminKeyCreated bool
}

// sayEvery is how long a service is waited for before it is said, each time.
const sayEvery = 5 * time.Second

type namedStop struct {
	name string
	stop func(context.Context) error
}

// errBrokenOff is a start that somebody ended.
var errBrokenOff = errors.New("the start was broken off")

// newApp starts every role of the configuration and returns when all of it
// works. Services that are down are waited for; a wrong setting is an error. When
// ctx ends first it is errBrokenOff.
func newApp(ctx context.Context, cfg Config, log *slog.Logger) (*app, error) {
	a := &app{cfg: cfg, log: log}
	if err := a.start(ctx); err != nil {
		stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
		defer cancel()
		if ctx.Err() != nil {
			err = errBrokenOff
		}
		return nil, errors.Join(err, a.stop(stopCtx))
	}
	return a, nil
}

func (a *app) start(ctx context.Context) error {
	var err error
	if a.kafkaAccess, err = a.cfg.kafkaAccess(); err != nil {
		return misused{err}
	}
	if a.door, err = openDoor(ctx, a.cfg.HTTPAddr); err != nil {
		return err
	}
	a.onStop("HTTP port", a.door.close)
	a.door.say("the embedded services")
	if a.stack, err = startStack(ctx, a.cfg, a.log); err != nil {
		return err
	}
	a.onStop("embedded services", a.stack.stop)
	for _, step := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"memory limit", a.startMemory},
		{"profiles", a.startProfiles},
		{"Kafka", a.startLog},
		{"Postgres", a.startPostgres},
		{"ClickHouse", a.startClickHouse},
		{"connectors", a.startConnectors},
		{"settings", a.startSettings},
		{"read models", a.startProjections},
		{"timers", a.startTimers},
		{"alert rules", a.startRules},
		{"recorder", a.makeRecorder},
		{"recordings", a.startRecordings},
		{"webhooks", a.startWebhooks},
		{"API", a.startAPI},
	} {
		a.door.say(step.name)
		if err := step.run(ctx); err != nil {
			return fmt.Errorf("starting %s: %w", step.name, err)
		}
	}
	return nil
}

func (a *app) onStop(name string, stop func(context.Context) error) {
	a.stops = append(a.stops, namedStop{name, stop})
}

// stop ends the parts, the newest first. It may be called twice.
func (a *app) stop(ctx context.Context) error {
	var errs []error
	for len(a.stops) > 0 {
		last := a.stops[len(a.stops)-1]
		a.stops = a.stops[:len(a.stops)-1]
		if err := last.stop(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stopping %s: %w", last.name, err))
		}
	}
	return errors.Join(errs...)
}

// wait returns when ctx ends.
func (a *app) wait(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// mendsItself is that no error is permanent.
func mendsItself(error) bool { return false }

// untilUp tries until it works. A service that is down is waited for and said
// so; an error that waiting cannot mend is returned.
func (a *app) untilUp(ctx context.Context, name string, permanent func(error) bool, try func(context.Context) error) error {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		err := try(ctx)
		if err == nil || permanent(err) {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		a.door.say(fmt.Sprintf("%s: %v", name, err))
		a.log.WarnContext(ctx, "waiting for a service", slog.String("service", name), slog.Any("err", err))
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

func (a *app) startLog(ctx context.Context) (err error) {
	if a.cfg.KafkaSASLMechanism != "" && !a.cfg.KafkaTLS {
		a.log.WarnContext(ctx, "logging in to Kafka without TLS: whoever is on the way reads every event, and may learn the password (TRUNKLINE_KAFKA_TLS)", slog.String("mechanism", a.cfg.KafkaSASLMechanism))
	}
	a.broker, err = kafka.NewClient(kafka.Config{
		Brokers: a.stack.brokers(), Partitions: a.cfg.KafkaPartitions, ReplicationFactor: a.cfg.KafkaReplication,
		TLS: a.kafkaAccess.tls, SASL: a.kafkaAccess.login, Logger: a.log,
	})
	if err != nil {
		return err
	}
	a.onStop("Kafka client", func(context.Context) error { a.broker.Close(); return nil })
	wrongTopic := func(err error) bool { return errors.Is(err, kafka.ErrTopic) }
	// EnsureTopics waits by itself, and says nothing meanwhile.
	ensure := func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, sayEvery)
		defer cancel()
		return a.broker.EnsureTopics(ctx)
	}
	if err := a.untilUp(ctx, "Kafka", wrongTopic, ensure); err != nil {
		return err
	}
	if a.events, err = kafka.NewLog(a.broker, kafka.LogConfig{}); err != nil {
		return err
	}
	if err := a.events.Start(ctx); err != nil {
		return err
	}
	a.onStop("log", a.events.Stop)
	a.source, err = kafka.NewSource(a.broker, kafka.SourceConfig{})
	return err
}

func (a *app) startPostgres(ctx context.Context) (err error) {
	if a.pool, err = postgres.Open(ctx, a.stack.postgresURL(), poolSize); err != nil {
		return misused{fmt.Errorf("TRUNKLINE_POSTGRES_URL: %w", err)}
	}
	a.onStop("Postgres pool", func(context.Context) error { a.pool.Close(); return nil })
	if err := a.untilUp(ctx, "Postgres", mendsItself, a.pool.Ping); err != nil {
		return err
	}
	if err := postgres.Migrate(ctx, a.pool, a.log); err != nil {
		return err
	}
	a.clock = postgres.NewClock(a.pool)
	if err := a.clock.Set(ctx); err != nil {
		return err
	}
	a.clock.Start(ctx)
	a.onStop("clock", a.clock.Stop)
	return nil
}

// startSettings loads the control plane and sees to the first org.
func (a *app) startSettings(ctx context.Context) (err error) {
	if err := a.findAdminKey(); err != nil {
		return err
	}
	if err := a.openKeyring(ctx); err != nil {
		return err
	}
	if a.settings, err = control.New(control.Config{Pool: a.pool, Keyring: a.keyring, Clock: a.clock.Now, Log: a.log, Alone: a.cfg.embeddedPostgres()}); err != nil {
		return err
	}
	if err := a.settings.Start(ctx); err != nil {
		return err
	}
	a.onStop("settings", a.settings.Stop)
	if a.sender, err = webhooks.NewSender(webhooks.SenderConfig{Guard: a.guard, Clock: a.clock.Now}); err != nil {
		return err
	}
	a.onStop("webhook connections", func(context.Context) error { a.sender.Close(); return nil })
	a.control, err = settings.New(settings.Config{
		Store: a.settings, View: a.settings.Directory(), Dialects: dialectCatalogue{}, Guard: a.guard, Phones: phone.Numbers{}, Connectors: a.connectors,
		Backlog:   backlog{a},
		Receivers: a.newReceivers(), Origin: webhooks.Origin(a.cfg.PublicURL), Clock: a.clock.Now,
	})
	if err != nil {
		return err
	}
	if _, err := a.control.Bootstrap(ctx, a.adminKey); err != nil {
		return err
	}
	if err := a.untilKMS(ctx, a.keyring.Share); err != nil {
		return err
	}
	forwarder, err := control.NewForwarder(control.ForwarderConfig{Pool: a.pool, Events: a.events, Wake: a.settings.Directory().Changed(), Log: a.log})
	if err != nil {
		return err
	}
	if err := forwarder.Start(ctx); err != nil {
		return err
	}
	a.onStop("settings forwarder", forwarder.Stop)
	return nil
}

// startProjections runs the read models of both stores where the role says so;
// every process can tell how far they are and wait for them.
func (a *app) startProjections(ctx context.Context) error {
	owner := hostOwner()
	models := projections.Models()
	a.models = readmodel.NewStore(a.pool, models, owner)
	a.reader = readmodel.NewReader(a.pool, a.analytics)
	a.progress = readmodel.NewProgress(a.pool, a.log)
	a.onStop("progress", a.progress.Stop)
	for _, g := range a.models.AllGenerations(models, projections.DefaultCacheBytes) {
		if err := g.Ensure(ctx); err != nil {
			return err
		}
		a.generation = append(a.generation, g)
	}
	sink := clickhouse.SinkConfig{Skips: readmodel.NewSkips(a.pool)}
	analytics, err := clickhouse.NewAnalytics(a.analytics, sink, a.progress, readmodel.NewDuplicates(a.pool))
	if err != nil {
		return err
	}
	deliveryLog, err := clickhouse.NewDeliveryLog(a.analytics, sink)
	if err != nil {
		return err
	}
	a.generation = append(a.generation, analytics, deliveryLog)
	a.projector, err = projections.NewProjector(projections.ProjectorConfig{
		Generations: a.generation, Source: a.source, Ends: a.broker, Observer: a.progress, Log: a.log, Now: time.Now, Idle: !a.cfg.has("projector"),
	})
	if err != nil {
		return err
	}
	if err := a.projector.Start(ctx); err != nil {
		return err
	}
	a.onStop("projector", a.projector.Stop)
	a.rebuilder, err = projections.NewRebuilder(projections.RebuilderConfig{
		Generations: a.generation, Rebuilds: readmodel.NewRebuilds(a.pool), Ends: a.broker, Owner: owner, Changed: a.projector.Look, Log: a.log, Now: time.Now,
	})
	if err != nil {
		return err
	}
	if err := a.rebuilder.Start(ctx); err != nil {
		return err
	}
	a.onStop("rebuilder", a.rebuilder.Stop)
	if !a.cfg.has("projector") {
		return nil
	}
	janitor, err := readmodel.NewJanitor(readmodel.JanitorConfig{
		Store: a.models, Models: models, Ends: a.broker, Log: a.log, Now: time.Now, HotWindow: a.cfg.HistoryHotWindow,
		Archived: readmodel.ArchivedBy(a.pool, a.analytics, projections.AnalyticsName),
	})
	if err != nil {
		return err
	}
	if err := janitor.Start(ctx); err != nil {
		return err
	}
	a.onStop("history janitor", janitor.Stop)
	return nil
}

// startTimers sets and settles what must happen some time after something else.
func (a *app) startTimers(ctx context.Context) error {
	if !a.cfg.has("projector") {
		return nil
	}
	settle, err := timers.New(timers.Config{
		Pool: a.pool, Log: a.events, Ends: a.broker, Logger: a.log,
		Disposition: a.cfg.SettleDisposition, Transcript: a.cfg.SettleTranscript, Owner: hostOwner(),
	})
	if err != nil {
		return err
	}
	if err := settle.Start(ctx); err != nil {
		return err
	}
	a.onStop("timers", settle.Stop)
	runner, err := projections.NewRunner(projections.RunnerConfig{
		Projection: projections.Timers, Generation: projections.Generation{Number: 1, Status: projections.Live},
		Topics: []event.Topic{event.Calls}, Source: a.source, Applier: settle, Pace: projections.StreamPace, Log: a.log, Now: time.Now,
	})
	if err != nil {
		return err
	}
	if err := runner.Start(ctx); err != nil {
		return err
	}
	a.onStop("timers' runner", runner.Stop)
	return nil
}

// hostOwner names this process among those that share the work.
func hostOwner() string {
	host, err := os.Hostname()
	if err != nil {
		host = "hub"
	}
	return fmt.Sprintf("%s/%d/%s", host, os.Getpid(), uuid.NewString()[:8])
}

// greet prints where everything is, for the person at the terminal.
func (a *app) greet(w io.Writer, took time.Duration) error {
	if !a.cfg.has("api") {
		_, err := fmt.Fprintf(w, `Trunkline %s %s after %s.

  roles        %s
  health       %s/readyz
%s
`, version, a.how(), took.Round(10*time.Millisecond), strings.Join(a.cfg.Roles, ", "), a.cfg.baseURL(), a.greetStores())
		return err
	}
	key := a.cfg.file(adminKeyFile)
	if a.cfg.AdminKey != "" {
		key = "$TRUNKLINE_ADMIN_KEY"
	}
	_, err := fmt.Fprintf(w, `Trunkline %s %s after %s.

  API          %s  (docs at /docs, health at /readyz)
  admin key    %s
%s
`, version, a.how(), took.Round(10*time.Millisecond), a.cfg.baseURL(), key, a.greetStores()+a.greetFirst())
	return err
}
