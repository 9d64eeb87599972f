package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

type rig struct {
	*testing.T
	Store
	now time.Time
	seq map[dispatch.Partition]int64
}

func calls(id int) dispatch.Partition { return dispatch.Partition{Topic: event.Calls, ID: id} }

func (r *rig) claim(p dispatch.Partition) dispatch.Claimed {
	r.Helper()
	c, err := r.Claim(r.Context(), p)
	if err != nil {
		r.Fatal(err)
	}
	if r.seq == nil {
		r.seq = make(map[dispatch.Partition]int64)
	}
	r.seq[p] = 0
	return c
}

// owned are partitions as they were claimed, from 0 on.
func owned(claims ...dispatch.Claimed) []dispatch.Ownership {
	var all []dispatch.Ownership
	for id, c := range claims {
		all = append(all, dispatch.Ownership{Partition: calls(id), Epoch: c.Epoch})
	}
	return all
}

// commit commits one part and fails the test unless it is done.
func (r *rig) commit(part dispatch.Part, health ...dispatch.HealthChange) map[string]delivery.Health {
	r.Helper()
	r.seq[part.Partition]++
	part.Seq = r.seq[part.Partition]
	fenced, h, err := r.Commit(r.Context(), dispatch.Batch{Parts: []dispatch.Part{part}, Health: health})
	if err != nil || len(fenced) > 0 {
		r.Fatalf("fenced %v, error %v", fenced, err)
	}
	return h
}

// owed makes a row of an entity at an offset.
func (r *rig) owed(p dispatch.Partition, entity string, offset int64, change ...func(*dispatch.Owed)) dispatch.Owed {
	o := dispatch.Owed{
		Delivery: delivery.Delivery{
			ID: fmt.Sprintf("d-%d-%d", p.ID, offset), Org: "org", EndpointID: "ep", EventID: fmt.Sprintf("e-%d", offset), EventType: "call.ended.v1",
			Topic: p.Topic, Partition: p.ID, Offset: offset, EntityID: entity, EventAt: r.now.Add(-time.Minute), Dialect: "plain", Name: "ended",
			Sequence: 3, Previous: 2, Headers: []delivery.Header{{Name: "X-Case", Value: "<kept>"}}, Body: []byte(`{"a":"<b>"}`),
			Status: delivery.Pending, NextAttemptAt: r.now, CreatedAt: r.now.Add(time.Duration(offset) * time.Second),
		},
		OrderKey: entity, CorrelationID: "corr",
	}
	for _, f := range change {
		f(&o)
	}
	return o
}

func (r *rig) load(c dispatch.Claimed, p dispatch.Partition, limit int, exclude ...string) dispatch.Loaded {
	r.Helper()
	l, err := r.Load(r.Context(), r.now, []dispatch.Want{{Partition: p, Epoch: c.Epoch, EndpointID: "ep", Limit: limit, Exclude: exclude}})
	if err != nil || len(l) != 1 {
		r.Fatalf("loading: %d answers, %v", len(l), err)
	}
	return l[0]
}

func offsets(rows []dispatch.Owed) []int64 {
	var all []int64
	for _, o := range rows {
		all = append(all, o.Offset)
	}
	return all
}

func (r *rig) same(what string, want, got any) {
	r.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		r.Errorf("%s (-want +got):\n%s", what, diff)
	}
}
