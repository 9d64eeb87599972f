package storetest

import (
	"testing"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
)

// offered is what owners are told of, in order.
func (r *rig) offered(what string, want []dispatch.Backlog, again bool, owned ...dispatch.Ownership) {
	r.Helper()
	got, err := r.Offered(r.Context(), owned, again)
	if err != nil {
		r.Fatal(err)
	}
	r.same(what, want, got)
}

func offers(_ *testing.T, r *rig) {
	former, other := r.claim(calls(0)), r.claim(calls(1))
	c := r.claim(calls(0))
	held := r.owed(calls(0), "y", 0, func(o *dispatch.Owed) { o.Status = delivery.IsHeld })
	r.commit(dispatch.Part{Partition: calls(0), Epoch: c.Epoch, Insert: []dispatch.Owed{held}})
	again := r.owed(calls(0), "x", 1, func(o *dispatch.Owed) {
		o.ReplayID = "resend-1"
		o.OrderKey = o.EntityKey()
	})
	for range 2 {
		if err := r.Offer(r.Context(), []dispatch.Owed{again}); err != nil {
			r.Fatal(err)
		}
	}
	one := dispatch.Backlog{Partition: calls(0), EndpointID: "ep", Org: "org", Rows: 1, NextDue: r.now}
	all := one
	all.Rows, all.Held = 2, 1
	r.offered("a former owner is told", nil, false, owned(former, other)...)
	r.offered("a former owner that asks again is told", nil, true, owned(former, other)...)
	r.offered("offered", []dispatch.Backlog{one}, false, owned(c, other)...)
	r.offered("offered and told", nil, false, owned(c, other)...)
	r.offered("all that is there", []dispatch.Backlog{all}, true, owned(c, other)...)
	r.same("loaded", []dispatch.Owed{again}, r.load(c, calls(0), 10).Rows)
}

// offersAfterDeletes: an offered row that came behind one that is gone by the
// time its owner is told must not wait for it.
func offersAfterDeletes(_ *testing.T, r *rig) {
	c := r.claim(calls(0))
	x1, x2 := r.owed(calls(0), "x", 1), r.owed(calls(0), "x", 2)
	p := dispatch.Part{Partition: calls(0), Epoch: c.Epoch, Insert: []dispatch.Owed{x1}}
	r.commit(p)
	if err := r.Offer(r.Context(), []dispatch.Owed{x2}); err != nil {
		r.Fatal(err)
	}
	p.Insert, p.Delete = nil, []dispatch.Owed{x1}
	r.commit(p)
	if _, err := r.Offered(r.Context(), owned(c), false); err != nil {
		r.Fatal(err)
	}
	r.same("heads", []int64{2}, offsets(r.load(c, calls(0), 10).Rows))
}
