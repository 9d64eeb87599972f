package webhooks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/lead"
	"trunkline.dev/trunkline/projections"
)

// Dialect is what the engine needs of a webhook format. Implementations are
// stateless and safe for concurrent use; rendering is pure.
type Dialect interface {
	Name() string
	Events() []string
	Profile() delivery.Profile
	ContentType() string
	Render(v delivery.View, e delivery.Endpoint) ([]delivery.Message, error)
	Sign(secret string, body []byte) []delivery.Header
	Sample(name string, e delivery.Endpoint, now time.Time) (delivery.Message, error)
}

// Views makes what dialects render from.
type Views interface {
	// Views returns one view for each event, in their order, with the states up
	// to the event. Version 0 marks an event that stands earlier in the log too. It
	// fails with projections.ErrBehind when the read models do not have the effect of
	// the events at the positions, which are to have the events asked about among
	// them.
	Views(ctx context.Context, events []event.Recorded, have ...event.Position) ([]delivery.View, error)
	// Known is what the read models know of entities, to fold on from.
	projections.Known
	// CallLeads returns the leads of calls as known now. It fails as Views does.
	CallLeads(ctx context.Context, keys []projections.Key, have ...event.Position) (map[projections.Key]*lead.Lead, error)
}

// Earlier finds the past of an entity.
type Earlier interface {
	// Earlier returns the events of the same entity that made the versions below
	// one, the last few of them, in order. It fails with projections.ErrBehind when
	// the history does not reach up to this event.
	Earlier(ctx context.Context, e event.Recorded, version int64, few int) ([]event.Recorded, error)
}

// Incoming is one record as the subscriber hands it over.
type Incoming struct {
	event.Recorded
	// Previous is the offset of the record before it in its partition, whatever
	// lies between; −1 before the first. Handlers run concurrently, so order is
	// restored by it.
	Previous int64
}

// The defaults of Config.
const (
	DefaultMaxInFlight      = 32
	DefaultMaxSockets       = 1024
	DefaultLaneDepth        = 1024
	DefaultMemoryBytes      = 64 << 20
	DefaultCheckpointEvery  = 50 * time.Millisecond
	DefaultCheckpointGrace  = 250 * time.Millisecond
	DefaultCheckpointEvents = 1000
	DefaultPlanBatch        = 64
	DefaultAhead            = 1024
	DefaultParkedKeys       = 10_000
	DefaultStateBytes       = 4 << 20
	DefaultRetryAfterMax    = 24 * time.Hour
	DefaultDrain            = 5 * time.Second
)

// Config configures an Engine. Fields without a default are required unless
// they say otherwise.
type Config struct {
	Store     dispatch.Store
	Directory dispatch.Directory
	Disabler  dispatch.Disabler
	// Crew knows the other processes that send; without it this one takes
	// endpoints' limits whole. Name is its own name in it.
	Crew     dispatch.Crew
	Name     string
	Log      commands.Log
	Views    Views
	Progress projections.Progress
	Ends     projections.Ends
	// Earlier finds what an endpoint was owed before this process began; without
	// it trunkline-previous-sequence is left out where it is not known.
	Earlier Earlier
	// Past reads the log for endpoints that catch up and for replays; without it
	// there are neither.
	Past Past
	// AsOf brings what views say of other entities back to when their events were
	// recorded, for deliveries that are planned long after; without it they say
	// what is known now. It fails as Views.Views does.
	AsOf func(ctx context.Context, views []delivery.View, have ...event.Position) error
	// Recording makes our own URL of a call's recording, and says when it ends;
	// without it the source's URL is passed on.
	Recording func(delivery.View) (url string, expires time.Time)
	Attempter Attempter
	Dialects  []Dialect
	// Connectors make the attempts of the dialects that have one, in place of
	// Attempter.
	Connectors map[string]Connector
	// StandardSign makes the value of webhook-signature: one signature for each
	// secret and each key pair, separated by spaces.
	StandardSign func(by Signers, id string, at time.Time, body []byte) string
	// Decode reads a record out of a message of the subscriber.
	Decode func(*message.Message) (Incoming, error)
	// Busy says whether this machine is at its end, at little cost; nil leaves
	// that to late timers alone.
	Busy func() bool
	// Version is the hub's, for User-Agent.
	Version string
	// Clock says what is due. What one process makes due another sends: they must agree on
	// the time, and the Attempter with them. It is time.Now unless set.
	Clock commands.Clock
	// Stamp is the time in signatures, which receivers hold against their clocks. It is
	// Clock unless set.
	Stamp  commands.Clock
	Logger *slog.Logger

	// MaxInFlight bounds the requests under way to an endpoint that sets no
	// bound of its own.
	MaxInFlight int
	// MaxSockets bounds the requests under way in all.
	MaxSockets int
	// LaneDepth bounds the deliveries of an endpoint that are in memory.
	LaneDepth int
	// MemoryBytes bounds the bodies in memory; what is beyond waits in the store, but
	// for a few deliveries of each endpoint.
	MemoryBytes int64
	// CheckpointEvery is how often checkpoints are committed while events come,
	// CheckpointEvents how many planned events hurry one.
	CheckpointEvery  time.Duration
	CheckpointEvents int
	// CheckpointGrace is how long a planned event may wait for its checkpoint
	// because its deliveries are about to be finished without a row. For a lane
	// that stands still, or would take longer, there is no wait.
	CheckpointGrace time.Duration
	// PlanBatch bounds the events that are planned together, Ahead those of a
	// partition that have been read and not planned.
	PlanBatch, Ahead int
	// ParkedKeys bounds the order keys that are remembered per endpoint and
	// partition; beyond it the store knows what waits for what.
	ParkedKeys int
	// StateBytes bounds the states of entities that are kept in memory for the
	// planning of a partition.
	StateBytes int
	// HeadOfLine is how long a failing delivery may hold back the later ones of
	// its entity, from its first attempt; 0 is until it is exhausted.
	HeadOfLine time.Duration
	// RetryAfterMax bounds how far a receiver may put off a retry.
	RetryAfterMax time.Duration
	// Drain bounds how long requests under way are waited for when a partition
	// is given up or the engine stops.
	Drain time.Duration
}

// Validate says everything that is wrong.
func (c Config) Validate() error {
	var errs []error
	for _, r := range []struct {
		name string
		ok   bool
	}{
		{"Store", c.Store != nil},
		{"Directory", c.Directory != nil},
		{"Disabler", c.Disabler != nil},
		{"Log", c.Log != nil},
		{"Views", c.Views != nil},
		{"Progress", c.Progress != nil},
		{"Ends", c.Ends != nil},
		{"Attempter", c.Attempter != nil},
		{"Dialects", len(c.Dialects) > 0},
		{"StandardSign", c.StandardSign != nil},
		{"Decode", c.Decode != nil},
		{"Name", c.Crew == nil || c.Name != ""},
	} {
		if !r.ok {
			errs = append(errs, fmt.Errorf("%s is required", r.name))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("webhooks engine: %w", err)
	}
	return nil
}

func (c *Config) setDefaults() {
	orInt(&c.MaxInFlight, DefaultMaxInFlight)
	orInt(&c.MaxSockets, DefaultMaxSockets)
	orInt(&c.LaneDepth, DefaultLaneDepth)
	orInt(&c.MemoryBytes, DefaultMemoryBytes)
	orInt(&c.CheckpointEvery, DefaultCheckpointEvery)
	orInt(&c.CheckpointEvents, DefaultCheckpointEvents)
	orInt(&c.CheckpointGrace, DefaultCheckpointGrace)
	orInt(&c.PlanBatch, DefaultPlanBatch)
	orInt(&c.Ahead, DefaultAhead)
	orInt(&c.ParkedKeys, DefaultParkedKeys)
	orInt(&c.StateBytes, DefaultStateBytes)
	orInt(&c.RetryAfterMax, DefaultRetryAfterMax)
	orInt(&c.Drain, DefaultDrain)
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Stamp == nil {
		c.Stamp = c.Clock
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Version == "" {
		c.Version = "dev"
	}
}

func orInt[T ~int | ~int64](v *T, or T) {
	if *v <= 0 {
		*v = or
	}
}
