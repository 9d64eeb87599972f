package settings

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

// ConnectorSettings are what POST and PATCH of a connector take. In a PATCH
// absent keeps and null gives the default; inside config, credentials and
// mapping that holds for each entry, so that one credential can be renewed
// without sending the others.
type ConnectorSettings struct {
	Name        event.Opt[string]                     `json:"name"`
	Kind        event.Opt[string]                     `json:"kind"`
	Events      event.Opt[[]string]                   `json:"events"`
	ListID      event.Opt[string]                     `json:"list_id"`
	Filter      event.Opt[map[string]string]          `json:"filter"`
	Config      event.Opt[map[string]json.RawMessage] `json:"config"`
	Credentials event.Opt[map[string]*string]         `json:"credentials"`
	Mapping     event.Opt[map[string]*string]         `json:"mapping"`
	Enabled     event.Opt[bool]                       `json:"enabled"`
	MaxInFlight event.Opt[int]                        `json:"max_in_flight"`
	RatePerSec  event.Opt[float64]                    `json:"rate_per_sec"`
	StartFrom   event.Opt[time.Time]                  `json:"start_from"`
}

// Bounds of a connector's settings.
const (
	maxConfig      = 16 << 10
	maxCredential  = 16 << 10
	maxCredentials = 20
	maxMappings    = 100
	maxTemplate    = 4 << 10
)

func (in ConnectorSettings) onto(e *delivery.Endpoint) error {
	set(&e.Name, in.Name, "")
	set(&e.Connector, in.Kind, "")
	set(&e.Events, in.Events, nil)
	set(&e.ListID, in.ListID, "")
	set(&e.Filter, in.Filter, nil)
	set(&e.Enabled, in.Enabled, true)
	set(&e.MaxInFlight, in.MaxInFlight, 0)
	set(&e.RatePerSec, in.RatePerSec, 0)
	set(&e.StartFrom, in.StartFrom, time.Time{})
	e.StartFrom = event.Time(e.StartFrom)
	e.Credentials = merged(e.Credentials, in.Credentials)
	e.Mapping = merged(e.Mapping, in.Mapping)
	if !in.Config.Set {
		return nil
	}
	config := make(map[string]json.RawMessage)
	if !in.Config.Null && len(e.Config) > 0 {
		if err := json.Unmarshal(e.Config, &config); err != nil {
			return fmt.Errorf("reading the settings of connector %s: %w", e.ID, err)
		}
	}
	for name, value := range in.Config.Value {
		if string(value) == "null" {
			delete(config, name)
			continue
		}
		config[name] = value
	}
	text, err := event.Marshal(config)
	e.Config = text
	return err
}

// merged applies a patch to a map; null takes an entry out, or all of them.
func merged(have map[string]string, patch event.Opt[map[string]*string]) map[string]string {
	if !patch.Set {
		return have
	}
	next := make(map[string]string)
	if !patch.Null {
		maps.Copy(next, have)
	}
	for name, value := range patch.Value {
		if value == nil {
			delete(next, name)
			continue
		}
		next[name] = *value
	}
	if len(next) == 0 {
		return nil
	}
	return next
}

// CreateConnector makes a connector. Whether its credentials work is not asked
// here: that is POST /v1/connectors/{id}/check.
func (s *Service) CreateConnector(ctx context.Context, c commands.Caller, in ConnectorSettings) (e delivery.Endpoint, err error) {
	err = s.change(ctx, c, func(d *draft) error {
		e = delivery.Endpoint{
			Org: c.Org.ID, Enabled: true, Ordering: orderingEntity, SignStandard: true, IDs: idsHub, CreatedAt: d.at, UpdatedAt: d.at,
		}
		if err := in.onto(&e); err != nil {
			return err
		}
		e.CatchesUp = !e.StartFrom.IsZero() && e.StartFrom.Before(d.at)
		if err := s.checkConnector(d, &e); err != nil {
			return err
		}
		e, err = s.create(d, e)
		return err
	})
	return e, err
}

// ChangeConnector changes a connector. Enabling it this way delivers its
// backlog.
func (s *Service) ChangeConnector(ctx context.Context, c commands.Caller, id string, in ConnectorSettings) (e delivery.Endpoint, err error) {
	err = s.change(ctx, c, func(d *draft) error {
		if e, err = d.connector(id); err != nil {
			return err
		}
		before := e
		if err := in.onto(&e); err != nil {
			return err
		}
		var f faults
		if e.Connector != before.Connector {
			f.add("/kind", "a connector stays %s: what it has written is there; make another connector", before.Connector)
			return f.err()
		}
		if err := s.checkConnector(d, &e); err != nil {
			return err
		}
		if e.Dialect != before.Dialect {
			f.add("/config/format", "the format stays %s: its secret and its deliveries are of that system; make another connector", before.Dialect)
			return f.err()
		}
		action := switched(&before, &e, d.at)
		e.UpdatedAt = d.at
		d.putEndpoint(e, action, "")
		return nil
	})
	return e, err
}

// connector returns a connector of the caller's org.
func (d *draft) connector(id string) (delivery.Endpoint, error) {
	e, err := d.endpoint(id)
	if err == nil && e.Connector == "" {
		return e, missing("connector", id)
	}
	return e, err
}

// checkConnector completes a connector and says everything that is wrong with it.
func (s *Service) checkConnector(d *draft, e *delivery.Endpoint) error {
	var f faults
	f.name("/name", e.Name)
	var kinds []string
	if s.cfg.Connectors != nil {
		kinds = s.cfg.Connectors.Kinds()
	}
	if len(e.Config) > maxConfig {
		f.add("/config", "at most %d bytes", maxConfig)
	}
	f.entries("/credentials", e.Credentials, maxCredentials, maxCredential)
	f.entries("/mapping", e.Mapping, maxMappings, maxTemplate)
	if !slices.Contains(kinds, e.Connector) {
		f.add("/kind", "expected one of %s", strings.Join(kinds, ", "))
	} else if err := f.take(s.cfg.Connectors.Prepare(e)); err != nil {
		return err
	}
	s.checkLane(&f, d, e)
	return f.err()
}

// entries bounds a map of texts. Credentials may have more than one line: a
// private key does.
func (f *faults) entries(pointer string, entries map[string]string, most, longest int) {
	if len(entries) > most {
		f.add(pointer, "at most %d entries", most)
	}
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		if len(entries[name]) > longest {
			f.add(pointer+"/"+escape(name), "at most %d bytes", longest)
		}
	}
}
