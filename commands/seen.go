package commands

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"time"

	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/event"
)

// seen remembers entities that were acknowledged by this process, in two
// generations: when the young one is full it becomes the old one, and the old
// one is forgotten. What is asked for again moves to the young one.
type seen struct {
	mu         sync.Mutex
	max        int
	young, old map[seenKey]seenEntry
}

type seenKey [16]byte

type seenEntry struct {
	// id is set for an alias: what the source's id stands for.
	id string
	at event.Position
}

// The kinds of keys beside the entity itself.
const (
	seenEntity   = ""
	seenStarted  = "started"
	seenExternal = "external"
)

func newSeen(max int) *seen {
	half := max/2 + 1
	return &seen{max: half, young: make(map[seenKey]seenEntry)}
}

func keyOf(org string, topic event.Topic, kind, id string) seenKey {
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "%d:%s%s:%s:%s", len(org), org, topic, kind, id)
	return seenKey(h.Sum(nil)[:16])
}

func (s *seen) put(k seenKey, e seenEntry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keep(k, e)
}

func (s *seen) keep(k seenKey, e seenEntry) {
	if len(s.young) >= s.max {
		s.old, s.young = s.young, make(map[seenKey]seenEntry)
	}
	s.young[k] = e
}

func (s *seen) get(k seenKey) (seenEntry, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.young[k]
	if ok {
		return e, true
	}
	if e, ok = s.old[k]; ok {
		s.keep(k, e)
	}
	return e, ok
}

// remember keeps what the following requests are likely to ask about.
func (r *Recorder) remember(e event.Event, at event.Position) {
	r.seen.put(keyOf(e.Org, at.Topic, seenEntity, e.Subject), seenEntry{at: at})
	if e.Type == (call.Started{}).EventType() {
		r.seen.put(keyOf(e.Org, at.Topic, seenStarted, e.Subject), seenEntry{at: at})
	}
}

// known reports whether an entity exists. An error means that nobody could be
// asked.
func (r *Recorder) known(ctx context.Context, c Caller, topic event.Topic, id string, wait time.Duration) (bool, error) {
	if _, ok := r.seen.get(keyOf(c.Org.ID, topic, seenEntity, id)); ok {
		return true, nil
	}
	if event.Minted(mintSecret(c.Org, topic), id) {
		return true, nil // only we can have made it
	}
	if r.cfg.Known == nil {
		return false, fmt.Errorf("looking %s up: %w", id, ErrUnavailable)
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	ok, err := r.cfg.Known.Subject(ctx, c.Org.ID, topic, id)
	if err != nil {
		return false, fmt.Errorf("looking %s up: %w: %w", id, ErrUnavailable, err)
	}
	return ok, nil
}

// mustKnow is nil for an entity that was seen, ErrNotFound for one that never
// was, ErrUnavailable when nobody can tell.
func (r *Recorder) mustKnow(ctx context.Context, c Caller, topic event.Topic, id string) error {
	ok, err := r.known(ctx, c, topic, id, r.cfg.KnownTimeout)
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("%q was %w", id, ErrNotFound)
	}
	return nil
}

// MustKnowCall is nil for a call of the caller's org that was seen, ErrNotFound
// for one that never was, ErrUnavailable when nobody can tell.
func (r *Recorder) MustKnowCall(ctx context.Context, c Caller, id string) error {
	if !idPattern.MatchString(id) {
		return notAnID(id)
	}
	return r.mustKnow(ctx, c, event.Calls, id)
}

// statusShare is the part of KnownTimeout that a question may take which only
// chooses between 200 and 201.
const statusShare = 20

// resolve finds the entity that a client means by its id, by its source's id or
// by both. It does not fail: when nobody can be asked, a fact sent twice is
// still one event, only the answer says "created" again.
func (r *Recorder) resolve(ctx context.Context, c Caller, topic event.Topic, id, external string) (subject string, known bool) {
	subject = id
	derived := ""
	if external != "" {
		derived = DerivedID(topic, c.Org.ID, c.ConnectionID, external)
		if subject == "" {
			subject = derived
		}
	}
	for _, candidate := range []string{id, r.alias(c, topic, external), derived} {
		if candidate == "" {
			continue
		}
		if _, ok := r.seen.get(keyOf(c.Org.ID, topic, seenEntity, candidate)); ok {
			return candidate, true
		}
	}
	ctx, cancel := context.WithTimeout(ctx, r.cfg.KnownTimeout/statusShare)
	defer cancel()
	if id != "" {
		if ok, err := r.known(ctx, c, topic, id, r.cfg.KnownTimeout); err == nil && ok {
			return id, true
		}
	}
	if external == "" {
		return subject, false
	}
	if r.cfg.Aliases != nil {
		if found, ok, err := r.cfg.Aliases.Alias(ctx, c.Org.ID, topic, external); err == nil && ok {
			return found, true
		}
	}
	if ok, err := r.known(ctx, c, topic, derived, r.cfg.KnownTimeout); err == nil && ok {
		return derived, true
	}
	return subject, false
}

func (r *Recorder) alias(c Caller, topic event.Topic, external string) string {
	if external == "" {
		return ""
	}
	e, _ := r.seen.get(keyOf(c.Org.ID, topic, seenExternal, external))
	return e.id
}

// learn keeps which entity a source's id stands for.
func (r *Recorder) learn(c Caller, topic event.Topic, external, id string) {
	if external != "" {
		r.seen.put(keyOf(c.Org.ID, topic, seenExternal, external), seenEntry{id: id})
	}
}
