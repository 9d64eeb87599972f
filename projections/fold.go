package projections

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"trunkline.dev/trunkline/domain/event"
)

// folder turns events into a Batch.
type folder struct {
	model   Model
	cache   *cache
	window  *window
	bad     poison
	skipped map[int64]struct{}
	// repeats are the answers of the history.
	repeats map[Ask]bool
	touched []*entry
	// extra are the places of rows in the batch, by extraID; extraKey is its buffer.
	extra    map[string]int
	extraKey []byte
	batch    Batch
	// inBatch are the ids of this batch, for models with a window.
	inBatch map[uint64]int64
}

// foldBroke says that folding an event failed after its state may have been
// changed: the state must be loaded anew and the event parked.
type foldBroke struct {
	offset int64
	reason string
}

func (e *foldBroke) Error() string { return e.reason }

// load fetches the entities that are not in memory, and asks the history about
// the events whose repetition could be older than what an entity remembers.
func (f *folder) load(ctx context.Context, store Store, ref Ref, events []event.Recorded) error {
	counts := make(map[Key]int)
	var missing []Key
	for _, e := range events {
		k, ok := keyOf(e)
		if !ok {
			continue
		}
		counts[k]++
		if counts[k] > 1 {
			continue
		}
		if _, ok := f.cache.get(k); !ok {
			missing = append(missing, k)
		}
	}
	if len(missing) > 0 {
		found, err := store.Load(ctx, ref, missing)
		if err != nil {
			return err
		}
		for _, k := range missing {
			n, err := f.restore(k, found[k])
			if err != nil {
				return err
			}
			f.cache.put(n)
		}
	}
	for k := range counts {
		n := f.cache.entries[k]
		n.changed, n.added = false, nil
	}
	if f.model.History == "" {
		return nil
	}
	return f.ask(ctx, store, ref, events, counts)
}

func (f *folder) ask(ctx context.Context, store Store, ref Ref, events []event.Recorded, counts map[Key]int) error {
	var asks []Ask
	for _, e := range events {
		k, ok := keyOf(e)
		if !ok || fault(e) != "" {
			continue
		}
		n := f.cache.entries[k]
		if n.version+int64(counts[k]) <= RecentIDs {
			continue
		}
		if n.added == nil {
			n.added = make(map[uint64]time.Time)
		}
		if n.version > 0 {
			asks = append(asks, f.question(k, e))
		}
	}
	if len(asks) == 0 {
		return nil
	}
	var err error
	f.repeats, err = store.Repeats(ctx, ref, asks)
	return err
}

func (f *folder) question(k Key, e event.Recorded) Ask {
	return Ask{Key: k, EventID: e.ID, Since: e.RecordedAt.Add(-RepeatSpan)}
}

func (f *folder) restore(k Key, l Loaded) (*entry, error) {
	n := &entry{Key: k, state: f.model.New(), version: l.Version, recent: l.Recent, first: l.First, last: l.Last, parked: l.Parked, size: len(l.State)}
	if l.Version == 0 {
		return n, nil
	}
	n.stored = true
	if err := event.Unmarshal(l.State, n.state); err != nil {
		return nil, fmt.Errorf("reading the stored state of %s: %w", k.ID, err)
	}
	return n, nil
}

// event folds one event, or sets it aside, or finds it a repeat.
func (f *folder) event(e event.Recorded) error {
	if _, ok := f.skipped[e.Position.Offset]; ok {
		return nil
	}
	k, named := keyOf(e)
	reason := fault(e)
	if reason == "" {
		reason = f.bad[e.Position.Offset]
	} else if !named {
		f.park(nil, e, reason, false)
		return nil
	}
	n := f.cache.entries[k]
	hash := HashID(e.ID)
	if e.ID != "" && f.repeated(n, e, hash) {
		f.batch.Duplicates = append(f.batch.Duplicates, Duplicate{Position: e.Position, Key: k, EventID: Clean(e.ID)})
		return nil
	}
	switch {
	case len(n.parked) > 0:
		behind := reason == ""
		if behind {
			reason = "an earlier event of this entity is parked"
		}
		f.park(n, e, reason, behind)
		return nil
	case reason != "":
		f.park(n, e, reason, false)
		return nil
	}
	decoded, err := f.apply(n, e)
	switch {
	case err != nil && decoded:
		return &foldBroke{offset: e.Position.Offset, reason: err.Error()}
	case err != nil:
		f.park(n, e, err.Error(), false)
		return nil
	}
	return f.applied(n, e, hash)
}

func (f *folder) repeated(n *entry, e event.Recorded, hash uint64) bool {
	if slices.Contains(n.parked, e.ID) {
		return true
	}
	if f.model.History == "" {
		id := SeenID{Hash: hash, Offset: e.Position.Offset}
		if at, ok := f.inBatch[hash]; ok && id.Offset-at <= RepeatWindow {
			return true
		}
		return f.window.has(id)
	}
	return n.seen(hash, e.RecordedAt) || f.repeats[f.question(n.Key, e)]
}

// apply folds an event into an entity's state. It reports whether the event
// got as far as to the state, which an error may then have left half changed.
func (f *folder) apply(n *entry, e event.Recorded) (reached bool, err error) {
	defer func() {
		if r := recover(); r != nil {
			reached, err = true, fmt.Errorf("folding %s broke: %v", e.Type, r)
		}
	}()
	return false, f.model.fold(n.state, e)
}

// applied books an event that was folded.
func (f *folder) applied(n *entry, e event.Recorded, hash uint64) error {
	n.version++
	n.last = markOf(e)
	if n.version == 1 {
		n.first = n.last
	}
	if !n.changed {
		n.changed = true
		f.touched = append(f.touched, n)
	}
	if f.model.History == "" {
		f.remember(hash, e.Position.Offset)
	} else {
		n.remember(hash, e.RecordedAt)
		row := HistoryRow{Recorded: e, Version: n.version}
		var err error
		if row.State, err = snapshot(n.version, n.state); err != nil {
			return &foldBroke{offset: e.Position.Offset, reason: err.Error()}
		}
		f.batch.History = append(f.batch.History, row)
	}
	f.extras(n, e)
	return nil
}

// remember notes an id of a model without history.
func (f *folder) remember(hash uint64, offset int64) {
	if f.inBatch == nil {
		f.inBatch = make(map[uint64]int64)
	}
	f.inBatch[hash] = offset
	f.batch.Recent = append(f.batch.Recent, SeenID{Hash: hash, Offset: offset})
}

func (f *folder) park(n *entry, e event.Recorded, reason string, behind bool) {
	if n != nil {
		n.parked = append(n.parked, e.ID)
	}
	if f.model.History == "" && e.ID != "" {
		f.remember(HashID(e.ID), e.Position.Offset)
	}
	f.batch.Parked = append(f.batch.Parked, Parked{Recorded: e, Reason: Clean(reason), Behind: behind})
}

// extras merges the rows of the further table: one row per key and batch.
func (f *folder) extras(n *entry, e event.Recorded) {
	x := f.model.Extra
	if x == nil {
		return
	}
	if f.extra == nil {
		f.extra = make(map[string]int)
	}
	for _, row := range x.Rows(n.state, e) {
		f.extraKey = extraID(f.extraKey[:0], row)
		i, ok := f.extra[string(f.extraKey)]
		switch {
		case !ok:
			f.extra[string(f.extraKey)] = len(f.batch.Extra)
			f.batch.Extra = append(f.batch.Extra, row)
		case x.Add:
			add(f.batch.Extra[i].Values, row.Values)
		default:
			f.batch.Extra[i] = row
		}
	}
}

// extraID is a row's key, each part behind its length.
func extraID(b []byte, row ExtraRow) []byte {
	part := func(s string) {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	part(row.Org)
	part(row.ID)
	for _, k := range row.Keys {
		switch k := k.(type) {
		case *time.Time:
			b = binary.AppendVarint(b, k.UnixMicro())
		case int64:
			b = binary.AppendVarint(b, k)
		default:
			part(fmt.Sprint(k))
		}
	}
	return b
}

func add(sum, n []any) {
	for i := range sum {
		sum[i] = sum[i].(int64) + n[i].(int64)
	}
}

// finish encodes the entities that changed.
func (f *folder) finish() error {
	f.batch.Entities = make([]EntityRow, 0, len(f.touched))
	for _, n := range f.touched {
		state, err := event.Marshal(n.state)
		if err != nil {
			return &foldBroke{offset: n.last.Offset, reason: "encoding the state: " + err.Error()}
		}
		f.cache.resize(n, len(state))
		r := Row{Key: n.Key, Version: n.version, State: n.state, First: n.first, Last: n.last}
		values := make([]any, len(f.model.Columns))
		for i, c := range f.model.Columns {
			values[i] = c.Of(r)
		}
		f.batch.Entities = append(f.batch.Entities, EntityRow{
			Key: n.Key, Version: n.version, State: state, Recent: slices.Clone(n.recent), First: n.first, Last: n.last, Values: values, Fresh: !n.stored,
		})
		n.stored = true // whatever becomes of the batch: if it fails, the cache is cleared
	}
	return nil
}
