package main

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"

	"trunkline.dev/trunkline/adapters/dialects"
	"trunkline.dev/trunkline/adapters/kafka"
	"trunkline.dev/trunkline/adapters/postgres/deliveries"
	trunkwater "trunkline.dev/trunkline/adapters/watermill"
	"trunkline.dev/trunkline/adapters/webhooks"
	"trunkline.dev/trunkline/domain/event"
)

// webhooksGroup is the consumer group that shares the partitions among the
// processes of the role webhooks.
const webhooksGroup = "trunkline.webhooks"

// handing is how many events of a partition are on their way to the planner,
// which keeps its own queue, at once.
const handing = 64

// routerDrain bounds the end of the router: the engine gives requests under way
// its own time, and as much again to write down what became of them.
const routerDrain = 2*webhooks.DefaultDrain + time.Second

// startWebhooks runs the delivery engine behind a Watermill router: the
// subscriber hands it the log from its own checkpoints.
func (a *app) startWebhooks(ctx context.Context) error {
	formats, work := a.formats()
	a.owed = deliveries.New(a.pool, a.keyring)
	var err error
	a.engine, err = webhooks.New(webhooks.Config{
		Store: a.owed, Crew: a.owed, Name: hostOwner(), Directory: directory{a.settings.Directory()}, Disabler: disabler{a}, Log: a.events,
		Views: a.reader, Progress: a.progress, Ends: a.broker, Earlier: a.reader, Past: pastLog{kafka.NewPast(a.broker, 0)}, AsOf: a.reader.AsOf,
		Recording: a.recordingLink, Attempter: a.reviving(a.sender), Dialects: formats, Connectors: work,
		StandardSign: standardSign, Decode: incoming, Busy: webhooks.MachineBusy(), HeadOfLine: a.cfg.WebhooksHeadOfLine,
		Version: version, Clock: a.clock.Now, Stamp: time.Now, Logger: a.log,
	})
	if err != nil {
		return err
	}
	a.deliverer = deliverer{webhooks.NewService(a.engine, a.owed, sentLog{a.analytics}, pastEvents{a.reader})}
	a.replays, err = webhooks.NewReplays(webhooks.ReplaysConfig{
		Service: a.deliverer.service, Store: a.owed, Owner: hostOwner(), Catching: a.catching,
	})
	if err != nil {
		return err
	}
	a.accountant, err = webhooks.NewAccountant(a.engine, webhooks.AccountantConfig{
		Log: a.analytics, Repeated: a.reader, Planned: a.owed, Versions: a.settings, Ends: a.broker,
	})
	if err != nil || !a.cfg.has("webhooks") {
		return err
	}
	if err := a.engine.Start(ctx); err != nil {
		return err
	}
	a.onStop("webhooks", a.engine.Stop)
	sub, err := trunkwater.NewSubscriber(trunkwater.SubscriberConfig{
		Brokers: a.stack.brokers(), Transport: a.broker.Transport(), Shared: a.broker.Shared(), Group: webhooksGroup, Offsets: claims{a.engine}, InFlight: handing, Logger: a.log,
		Partitions: a.cfg.KafkaPartitions, ReplicationFactor: a.cfg.KafkaReplication,
	})
	if err != nil {
		return err
	}
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: routerDrain}, watermill.NewSlogLoggerWithLevelMapping(a.log, map[slog.Level]slog.Level{slog.LevelInfo: slog.LevelDebug}))
	if err != nil {
		return err
	}
	router.AddMiddleware(middleware.Recoverer)
	a.engine.AddTo(router, sub)
	done := make(chan error, 1)
	go func() { done <- router.Run(context.WithoutCancel(ctx)) }() // ends with Close, which the stop below calls
	select {
	case <-router.Running():
	case err := <-done:
		return err
	}
	a.onStop("webhook router", func(context.Context) error {
		return errors.Join(router.Close(), <-done)
	})
	if err := a.replays.Start(ctx); err != nil {
		return err
	}
	a.onStop("replays", a.replays.Stop)
	return nil
}

// claims lets the subscriber start where the engine's checkpoints are.
type claims struct{ engine *webhooks.Engine }

func (c claims) Claim(ctx context.Context, topic string, partition int) (int64, error) {
	return c.engine.Claim(ctx, event.Topic(topic), partition)
}

func (c claims) Release(topic string, partition int) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c.engine.Release(ctx, event.Topic(topic), partition)
}

func (c claims) Lost(topic string, partition int) <-chan struct{} {
	return c.engine.Lost(event.Topic(topic), partition)
}

// incoming reads a record of the log out of a message.
func incoming(m *message.Message) (webhooks.Incoming, error) {
	r, err := trunkwater.Recorded(m)
	if err != nil {
		return webhooks.Incoming{}, err
	}
	previous, err := strconv.ParseInt(m.Metadata.Get(trunkwater.MetaPrevious), 10, 64)
	if err != nil {
		return webhooks.Incoming{}, err
	}
	return webhooks.Incoming{Recorded: r, Previous: previous}, nil
}

// standardSign makes the value of webhook-signature: a signature for each
// secret and each key pair, separated by spaces.
func standardSign(by webhooks.Signers, id string, at time.Time, body []byte) string {
	secrets := make([]string, len(by.Secrets))
	for i, s := range by.Secrets {
		secrets[i] = s.Value
	}
	headers, err := dialects.SignStandard(id, at, body, secrets...)
	if err != nil {
		return ""
	}
	public, err := dialects.SignEd25519(id, at, body, by.Keys...)
	if err != nil {
		return ""
	}
	for _, h := range headers {
		if h.Name == dialects.HeaderWebhookSignature {
			return strings.Join(append([]string{h.Value}, public...), " ")
		}
	}
	return ""
}
