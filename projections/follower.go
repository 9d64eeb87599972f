package projections

import (
	"container/list"
	"context"
	"fmt"
	"slices"

	"trunkline.dev/trunkline/domain/catalog"
	"trunkline.dev/trunkline/domain/event"
)

// Known reads entities as the projector has them.
type Known interface {
	// Known returns what the live generation of a topic's read model knows of
	// entities; one that is new is absent. It fails with ErrBehind when the read
	// model does not have the effect of the events at the positions.
	Known(ctx context.Context, topic event.Topic, keys []Key, have ...event.Position) (map[Key]Loaded, error)
}

// Follower folds what one partition brings, for a reader that goes through it
// in order and needs the states on the way: the planner of webhooks. It finds
// the versions and states that the projector finds, and does not wait for it.
// What it cannot be sure of it leaves to the history (Step.Apart).
//
// It is right because it sees every event from the offset at which it began.
// An entity that it does not remember has had no event since then, or since it
// was last forgotten, so the projector's row is the state before the event, if
// the projector has come that far and has not gone past the event.
//
// One goroutine uses it at a time.
type Follower struct {
	model     Model
	partition int
	known     Known
	progress  Progress
	limit     int

	// base is the offset from which on all has been seen; floors, by org, are the
	// offsets below which something was seen and not remembered.
	base   int64
	floors map[string]int64

	entries map[Key]*followed
	order   list.List // front is the newest
	bytes   int
}

// Step is one event folded.
type Step struct {
	// Version is the version of the entity that the event made; 0 for a repeat.
	Version int64
	Payload event.Payload
	// Before and After are the states around the event; Before is nil for the
	// first of an entity. They do not change any more.
	Before, After event.Entity
	// Apart says that only the history knows; the rest is empty then.
	Apart bool
}

// followed is an entity that the follower remembers.
type followed struct {
	Key
	state   event.Entity
	version int64
	recent  []uint64
	last    int64
	// apart: its events are left to the history. row is what a state that was
	// learned from there can go on from, nil if it cannot.
	apart bool
	row   *Loaded
	size  int
	place *list.Element
}

// NewFollower returns a follower of a partition from an offset on. limit bounds
// the bytes of the states that it remembers, roughly.
func NewFollower(m Model, partition int, from int64, k Known, p Progress, limit int) *Follower {
	f := &Follower{model: m, partition: partition, known: k, progress: p, limit: limit}
	f.Restart(from)
	return f
}

// Restart forgets everything: the next event is the one at an offset.
func (f *Follower) Restart(from int64) {
	f.base, f.bytes = from, 0
	f.floors, f.entries = make(map[string]int64), make(map[Key]*followed)
	f.order.Init()
}

// Pass goes past an event whose states nobody needs.
func (f *Follower) Pass(e event.Recorded) {
	f.floors[e.Org] = e.Position.Offset + 1
	if k, ok := keyOf(e); ok {
		if n := f.entries[k]; n != nil {
			f.remove(n)
		}
	}
}

// Fold folds the next events. After an error, Restart it at the first of them.
func (f *Follower) Fold(ctx context.Context, events []event.Recorded) ([]Step, error) {
	if err := f.load(ctx, events); err != nil {
		return nil, err
	}
	steps := make([]Step, len(events))
	for i, e := range events {
		if k, ok := keyOf(e); ok {
			steps[i] = f.step(f.entries[k], e)
		} else {
			steps[i].Apart = true
		}
	}
	f.trim()
	return steps, nil
}

// load brings the entities of events into memory.
func (f *Follower) load(ctx context.Context, events []event.Recorded) error {
	var missing []Key
	first := make(map[Key]int64)
	need := f.base
	for _, e := range events {
		k, ok := keyOf(e)
		if !ok {
			continue
		}
		if n := f.entries[k]; n != nil {
			f.order.MoveToFront(n.place)
			continue
		}
		if _, ok := first[k]; !ok {
			first[k] = e.Position.Offset
			missing = append(missing, k)
			need = max(need, f.floors[e.Org])
		}
	}
	if len(missing) == 0 {
		return nil
	}
	var have []event.Position
	if need > 0 {
		have = []event.Position{{Topic: f.model.Topic, Partition: f.partition, Offset: need - 1}}
	}
	var found map[Key]Loaded
	err := Reach(ctx, f.progress, have, func() (err error) {
		found, err = f.known.Known(ctx, f.model.Topic, missing, have...)
		return err
	})
	if err != nil {
		return fmt.Errorf("reading entities of %s: %w", f.model.Name, err)
	}
	for _, k := range missing {
		n, err := f.restore(k, found[k], first[k])
		if err != nil {
			return err
		}
		n.place = f.order.PushFront(n)
		f.entries[k] = n
		f.bytes += n.size
	}
	return nil
}

// restore makes of a row the state before the event at an offset.
func (f *Follower) restore(k Key, row Loaded, before int64) (*followed, error) {
	n := &followed{Key: k, state: f.model.New(), size: entryOverhead + len(row.State), last: before - 1}
	switch {
	case len(row.Parked) > 0:
		n.apart = true
	case row.Version == 0 || row.First.Offset >= before:
		n.size = entryOverhead
	case row.Last.Offset >= before:
		// The projector is past the event.
		n.apart = true
		if row.Version <= RecentIDs {
			n.row = &row
			row.State = nil
		}
	default:
		if err := event.Unmarshal(row.State, n.state); err != nil {
			return nil, fmt.Errorf("reading the stored state of %s: %w", k.ID, err)
		}
		n.version, n.recent = row.Version, row.Recent
	}
	return n, nil
}

func (f *Follower) step(n *followed, e event.Recorded) (s Step) {
	n.last = e.Position.Offset
	if !n.apart && (fault(e) != "" || n.version >= RecentIDs) {
		n.setApart()
	}
	if n.apart {
		return Step{Apart: true}
	}
	hash := HashID(e.ID)
	if slices.Contains(n.recent, hash) {
		return Step{}
	}
	defer func() {
		if r := recover(); r != nil {
			// The projector parks it.
			n.setApart()
			s = Step{Apart: true}
		}
	}()
	payload, err := catalog.Payload(e)
	after := catalog.Copy(n.state)
	if err == nil {
		err = after.Apply(e.Envelope, payload)
	}
	if err == nil {
		_, err = snapshot(n.version+1, after)
	}
	if err != nil {
		n.setApart()
		return Step{Apart: true}
	}
	n.version++
	s = Step{Version: n.version, Payload: payload, After: after}
	if n.version > 1 {
		s.Before = n.state
	}
	n.state, n.recent = after, append(n.recent, hash)
	n.size += len(e.Data)
	f.bytes += len(e.Data)
	return s
}

// setApart leaves an entity to the history for as long as it is remembered.
func (n *followed) setApart() {
	n.apart, n.row, n.state, n.recent = true, nil, nil, nil
}

// Learn tells what the history said of an event that was left to it: the
// version that it made and the state after it. Events of one entity are learned
// in order, before the next Fold.
func (f *Follower) Learn(e event.Recorded, version int64, after event.Entity) {
	k, ok := keyOf(e)
	if !ok {
		return
	}
	n := f.entries[k]
	if n == nil || n.row == nil || n.last != e.Position.Offset || version < 1 || version > int64(len(n.row.Recent)) || after == nil {
		return
	}
	n.apart, n.state, n.version = false, after, version
	n.recent = slices.Clone(n.row.Recent[:version])
	n.row = nil
}

// trim forgets the entities that had no event for the longest time.
func (f *Follower) trim() {
	for f.bytes > f.limit && f.order.Len() > 1 {
		n := f.order.Back().Value.(*followed)
		f.floors[n.Org] = max(f.floors[n.Org], n.last+1)
		f.remove(n)
	}
}

func (f *Follower) remove(n *followed) {
	f.order.Remove(n.place)
	delete(f.entries, n.Key)
	f.bytes -= n.size
}
