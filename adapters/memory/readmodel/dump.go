package readmodel

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// extraID names a row of an extra table by its key.
func extraID(row projections.ExtraRow) string {
	return fmt.Sprintf("%q %q %s", row.Org, row.ID, values(row.Keys))
}

func values(all []any) string {
	texts := make([]string, len(all))
	for i, v := range all {
		switch v := v.(type) {
		case *time.Time:
			texts[i] = "null"
			if v != nil && !v.IsZero() {
				texts[i] = v.UTC().Format(time.RFC3339Nano)
			}
		case nil:
			texts[i] = "null"
		default:
			texts[i] = fmt.Sprintf("%v", v)
		}
	}
	return strings.Join(texts, " ")
}

// Rows returns every row of a generation as a line of text, sorted: equal lines
// are equal rows in every column.
func (s *Store) Rows(_ context.Context, ref projections.Ref) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.build(ref)
	if err != nil {
		return nil, err
	}
	m := s.models[ref.Model]
	var all []string
	for _, r := range b.entities {
		all = append(all, fmt.Sprintf("%s %q %q v%d %v %s %s %x %s", m.Table, r.Org, r.ID, r.Version, r.First, r.Last.RecordedAt.Format(time.RFC3339Nano), r.State, r.Recent, values(r.Values)))
	}
	for _, rows := range b.history {
		for _, r := range rows {
			all = append(all, fmt.Sprintf("%s %q %q v%d %+v %s %s %s", m.History, r.Org, r.Subject, r.Version, r.Envelope, r.Position, r.Data, r.State))
		}
	}
	for id, r := range b.extra {
		all = append(all, fmt.Sprintf("%s %s %s", m.Extra.Table, id, values(r.Values)))
	}
	for _, p := range b.parked {
		all = append(all, fmt.Sprintf("parked_events %s %q %q %v %s", p.Position, p.ID, p.Reason, p.Behind, p.Data))
	}
	slices.Sort(all)
	return all, nil
}

// Create makes the next generation of a model, building.
func (s *Store) Create(_ context.Context, model string) (projections.Generation, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := projections.Generation{Number: len(s.generations[model]) + 1, Status: projections.Building}
	s.generations[model] = append(s.generations[model], g)
	s.builds[projections.Ref{Model: model, Generation: g.Number}] = newBuild()
	return g, nil
}

// Duplicates implements projections.Duplicates.
func (s *Store) Duplicates(_ context.Context, topic event.Topic, partition int, from, to int64) (map[int64]struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	model := projections.Of(topic)
	for _, g := range s.generations[model] {
		if g.Status != projections.Live {
			continue
		}
		c := s.builds[projections.Ref{Model: model, Generation: g.Number}].checkpoint(part{topic, partition})
		if c.next < to {
			return nil, fmt.Errorf("%w: at %d, want %d", projections.ErrBehind, c.next, to)
		}
	}
	all := make(map[int64]struct{})
	for p := range s.duplicates {
		if p.Topic == topic && p.Partition == partition && p.Offset >= from && p.Offset < to {
			all[p.Offset] = struct{}{}
		}
	}
	return all, nil
}
