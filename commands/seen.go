package commands

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strconv"
	"sync"
	"time"

	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/event"
)

// seen remembers what this process had acknowledged: which entities there are,
// where calls were started, and what their source's ids stand for. Most of it is
// of the first kind, which has no value and nothing to scan for the collector.
type seen struct {
	entities recent[struct{}]
	started  recent[place]
	aliases  recent[string]
}

// place is a position in the topic of calls.
type place struct {
	offset    int64
	partition int32
}

// recent keeps values in two generations: when the young one is full it becomes
// the old one, and the old one is forgotten. What is asked for again moves to the
// young one.
type recent[V any] struct {
	mu         sync.Mutex
	max        int
	young, old map[seenKey]V
}

type seenKey [16]byte

// The kinds of keys beside the entity itself.
const (
	seenEntity   = ""
	seenStarted  = "started"
	seenExternal = "external"
)

func newSeen(max int) *seen {
	half := max/2 + 1
	return &seen{
		entities: recent[struct{}]{max: half, young: make(map[seenKey]struct{})},
		started:  recent[place]{max: half, young: make(map[seenKey]place)},
		aliases:  recent[string]{max: half, young: make(map[seenKey]string)},
	}
}

func keyOf(org string, topic event.Topic, kind, id string) seenKey {
	var room [160]byte
	b := append(strconv.AppendInt(room[:0], int64(len(org)), 10), ':')
	b = append(append(b, org...), topic...)
	b = append(append(b, ':'), kind...)
	b = append(append(b, ':'), id...)
	sum := sha256.Sum256(b)
	return seenKey(sum[:16])
}

func (s *recent[V]) put(k seenKey, v V) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keep(k, v)
}

func (s *recent[V]) keep(k seenKey, v V) {
	if len(s.young) >= s.max {
		s.old, s.young = s.young, make(map[seenKey]V)
	}
	s.young[k] = v
}

func (s *recent[V]) get(k seenKey) (V, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.young[k]
	if ok {
		return v, true
	}
	if v, ok = s.old[k]; ok {
		s.keep(k, v)
	}
	return v, ok
}

// remember keeps what the following requests are likely to ask about.
func (r *Recorder) remember(e event.Event, at event.Position) {
	r.seen.entities.put(keyOf(e.Org, at.Topic, seenEntity, e.Subject), struct{}{})
	if e.Type == (call.Started{}).EventType() {
		r.seen.started.put(keyOf(e.Org, at.Topic, seenStarted, e.Subject), place{at.Offset, int32(at.Partition)})
	}
}

// known reports whether an entity exists. An error means that nobody could be
// asked.
func (r *Recorder) known(ctx context.Context, c Caller, topic event.Topic, id string, wait time.Duration) (bool, error) {
	if _, ok := r.seen.entities.get(keyOf(c.Org.ID, topic, seenEntity, id)); ok {
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
	if !isID(id) {
		return notAnID(id)
	}
	return r.mustKnow(ctx, c, event.Calls, id)
}

// statusShare is the part of KnownTimeout that a question may take without whose
// answer a call or a contact can be recorded.
const statusShare = 20

// resolve finds the entity that a client means by its id, by its source's id or
// by both. It does not fail: when nobody can be asked, a fact sent twice is
// still one event, only the answer says "created" again; and what a client named
// otherwise is told under the id that its source's derives.
func (r *Recorder) resolve(ctx context.Context, c Caller, topic event.Topic, id, external string) (subject string, seen bool) {
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
		if _, ok := r.seen.entities.get(keyOf(c.Org.ID, topic, seenEntity, candidate)); ok {
			return candidate, true
		}
	}
	// Each question has its own time: one that nobody answers must not cost the next.
	ask := func(question func(context.Context) (bool, error)) bool {
		ctx, cancel := context.WithTimeout(ctx, r.cfg.KnownTimeout/statusShare)
		defer cancel()
		yes, err := question(ctx)
		return err == nil && yes
	}
	known := func(id string) func(context.Context) (bool, error) {
		return func(ctx context.Context) (bool, error) { return r.known(ctx, c, topic, id, r.cfg.KnownTimeout) }
	}
	if id != "" && ask(known(id)) {
		return id, true
	}
	if external == "" {
		return subject, false
	}
	found := derived
	question := known(derived)
	if r.cfg.Aliases != nil {
		question = func(ctx context.Context) (ok bool, err error) {
			found, ok, err = r.cfg.Aliases.Alias(ctx, c.Org.ID, topic, external, derived)
			return ok, err
		}
	}
	if ask(question) {
		return found, true
	}
	return subject, false
}

func (r *Recorder) alias(c Caller, topic event.Topic, external string) string {
	if external == "" {
		return ""
	}
	id, _ := r.seen.aliases.get(keyOf(c.Org.ID, topic, seenExternal, external))
	return id
}

// learn keeps which entity a source's id stands for.
func (r *Recorder) learn(c Caller, topic event.Topic, external, id string) {
	if external != "" {
		r.seen.aliases.put(keyOf(c.Org.ID, topic, seenExternal, external), id)
	}
}
