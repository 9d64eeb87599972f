package httpapi

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/commands/recordings"
	"trunkline.dev/trunkline/projections"
)

// Config is what a Server is made of.
type Config struct {
	// Addr is where Start listens; default 127.0.0.1:8080.
	Addr string
	// Recorder takes facts. Required.
	Recorder *commands.Recorder
	// Keys finds API keys. Required.
	Keys Keys
	// OpenAPI is the API's description in YAML. Required.
	OpenAPI []byte
	// Lists gives regions; nil reads all national numbers as US ones.
	Lists Lists
	// Connections and Inbound serve POST /in/{id}; nil answers 404 there.
	Connections Connections
	// Inbound finds a dialect by name.
	Inbound func(dialect string) (Inbound, bool)
	// Lookup answers GET /crm/{connection_id}/contacts; nil answers 404 there.
	Lookup Lookup
	// Idempotency keeps answers; nil keeps none (event ids derive from the key
	// all the same).
	Idempotency commands.Idempotency
	// Progress waits for read models; nil waits for nothing, and verdicts are
	// not known.
	Progress projections.Progress
	// Versions and Verdicts answer what the fold decided.
	Versions Versions
	Verdicts Verdicts
	// Settings serves orgs, lists, keys, connections and webhooks; what is nil in
	// it answers 404.
	Settings Settings
	// Recordings keeps the calls' audio; nil answers 404 there.
	Recordings *recordings.Service
	// Destination says why a link of ours may not lead to a URL, nil if it may: what
	// no request of ours may reach, nobody is sent to under our name. Without it
	// links lead nowhere else.
	Destination func(ctx context.Context, url string) error
	// ProbesOnly serves health, readiness and metrics and nothing else, in a process
	// that leaves the API to others.
	ProbesOnly bool
	// Readiness answers /readyz; nil is always ready.
	Readiness Readiness
	// Metrics answers /metrics; nil answers 404.
	Metrics http.Handler
	// Clock tells the time; default time.Now.
	Clock commands.Clock
	// Logger gets errors, and requests at debug level; default slog.Default().
	Logger *slog.Logger
	// LeadsPerMinute limits POST /api/public/leads per key; default 60.
	LeadsPerMinute int
	// VerdictWait is how long an answer waits for the fold's verdict; default 1 s.
	VerdictWait time.Duration
	// StoreWait bounds each question to Idempotency; default 2 s. A store that
	// hangs must not hold intake up.
	StoreWait time.Duration
	// PositionWait is how long a read waits for a position; default 5 s.
	PositionWait time.Duration
	// LogWait is how long an answer about deliveries waits for the delivery log;
	// default 2 s.
	LogWait time.Duration

	// Reads answers "facts out"; nil answers 404 there.
	Reads Reads
	// Phones reads the numbers in queries; nil compares them as given.
	Phones commands.Phones
	// Feed serves /v1/events; nil answers 404 there.
	Feed Feed
	// Heartbeat is the time between comments in a stream; default 15 s.
	Heartbeat time.Duration
	// Projections, Rebuilder and Parking serve /v1/projections; nil answers 404.
	Projections Projections
	Rebuilder   Rebuilder
	Parking     Parking
}

// Validate joins everything that is wrong with the configuration.
func (c Config) Validate() error {
	var errs []error
	need := func(ok bool, name string) {
		if !ok {
			errs = append(errs, errors.New("httpapi: "+name+" is required"))
		}
	}
	need(c.Recorder != nil, "Recorder")
	need(c.Keys != nil, "Keys")
	need(len(c.OpenAPI) > 0, "OpenAPI")
	if c.LeadsPerMinute < 0 {
		errs = append(errs, errors.New("httpapi: LeadsPerMinute is negative"))
	}
	if c.VerdictWait < 0 || c.PositionWait < 0 || c.LogWait < 0 || c.StoreWait < 0 || c.Heartbeat < 0 {
		errs = append(errs, errors.New("httpapi: a wait is negative"))
	}
	return errors.Join(errs...)
}

func (c Config) withDefaults() Config {
	if c.Addr == "" {
		c.Addr = "127.0.0.1:8080"
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.LeadsPerMinute == 0 {
		c.LeadsPerMinute = 60
	}
	if c.VerdictWait == 0 {
		c.VerdictWait = time.Second
	}
	if c.StoreWait == 0 {
		c.StoreWait = 2 * time.Second
	}
	if c.PositionWait == 0 {
		c.PositionWait = 5 * time.Second
	}
	if c.LogWait == 0 {
		c.LogWait = 2 * time.Second
	}
	if c.Heartbeat == 0 {
		c.Heartbeat = 15 * time.Second
	}
	return c
}
