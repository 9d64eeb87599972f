package storetest

import (
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
)

// keyed is a partition whose rows are known, to be compared with the store's.
type keyed struct {
	*rig
	rt   *rapid.T
	part dispatch.Partition
	dispatch.Claimed
	rows map[string]dispatch.Owed
	made int64
}

// everyKeyGoesOn: whatever was done, each key that has rows has one head, its first
// row. So nothing waits for what is gone, and nothing goes before its turn.
func everyKeyGoesOn(t *testing.T, r *rig) {
	partitions := 0
	rapid.Check(t, func(rt *rapid.T) {
		k := &keyed{rig: r, rt: rt, part: calls(partitions), Claimed: r.claim(calls(partitions)), rows: make(map[string]dispatch.Owed)}
		partitions++
		for range rapid.IntRange(1, 8).Draw(rt, "steps") {
			switch rapid.SampledFrom([]string{"commit", "commit", "offer", "tell", "claim"}).Draw(rt, "step") {
			case "commit":
				k.commits()
			case "offer":
				k.offers()
			case "tell":
				k.told()
			case "claim":
				k.Claimed = k.claim(k.part)
			}
			k.check()
		}
	})
}

// some are rows that are there, none of them among others.
func (k *keyed) some(what string, others ...dispatch.Owed) []dispatch.Owed {
	var all []dispatch.Owed
	for _, key := range slices.Sorted(maps.Keys(k.rows)) {
		taken := slices.ContainsFunc(others, func(o dispatch.Owed) bool { return o.Key() == key })
		if !taken && rapid.IntRange(0, 2).Draw(k.rt, what) == 0 {
			all = append(all, k.rows[key])
		}
	}
	return all
}

// fresh are new rows, behind all others in the log.
func (k *keyed) fresh(replays ...string) []dispatch.Owed {
	var all []dispatch.Owed
	for range rapid.IntRange(0, 3).Draw(k.rt, "new") {
		k.made++
		o := k.owed(k.part, rapid.SampledFrom([]string{"x", "y"}).Draw(k.rt, "entity"), k.made)
		o.EndpointID = rapid.SampledFrom([]string{"ep", "other"}).Draw(k.rt, "endpoint")
		o.ReplayID = rapid.SampledFrom(replays).Draw(k.rt, "replay")
		o.OrderKey = o.EntityKey()
		if rapid.IntRange(0, 4).Draw(k.rt, "alone") == 0 {
			o.OrderKey = o.Key()
		}
		all = append(all, o)
	}
	return all
}

// commits: rows go, change and come in one commit. What the engine deletes may be
// named by another key than its row has: it was sent again, or was just let go alone.
func (k *keyed) commits() {
	p := dispatch.Part{Partition: k.part, Epoch: k.Epoch, From: k.Next, To: k.Next}
	p.Delete = k.some("delete")
	p.Update = k.some("update", p.Delete...)
	p.Insert = append(k.some("again", slices.Concat(p.Delete, p.Update)...), k.fresh("")...)
	for i := range p.Update {
		switch o := &p.Update[i]; rapid.IntRange(0, 2).Draw(k.rt, "change") {
		case 0:
			o.OrderKey = o.Key()
		case 1:
			o.Status = delivery.IsHeld
		default:
			o.Status = delivery.Pending
		}
	}
	for _, o := range slices.Concat(p.Insert, p.Update) {
		k.rows[o.Key()] = o
	}
	for i := range p.Delete {
		o := &p.Delete[i]
		delete(k.rows, o.Key())
		if o.Status = delivery.Delivered; rapid.Bool().Draw(k.rt, "named otherwise") {
			o.OrderKey = o.Key() + "/resend-1"
		}
	}
	k.commit(p)
}

func (k *keyed) offers() {
	all := k.fresh("", "a", "resend-1")
	for _, o := range all {
		k.rows[o.Key()] = o
	}
	if err := k.Offer(k.Context(), all); err != nil {
		k.rt.Fatal(err)
	}
}

func (k *keyed) told() {
	if _, err := k.Offered(k.Context(), []dispatch.Ownership{{Partition: k.part, Epoch: k.Epoch}}, rapid.Bool().Draw(k.rt, "again")); err != nil {
		k.rt.Fatal(err)
	}
}

func (k *keyed) check() {
	rows := slices.SortedFunc(maps.Values(k.rows), func(a, b dispatch.Owed) int { return int(a.Offset - b.Offset) })
	for _, id := range []string{"ep", "other"} {
		var want []int64
		seen := make(map[string]bool)
		for _, o := range rows {
			if o.EndpointID != id {
				continue
			}
			if !seen[o.OrderKey] && o.Status == delivery.Pending {
				want = append(want, o.Offset)
			}
			seen[o.OrderKey] = true
		}
		l, err := k.Load(k.Context(), k.now.Add(time.Hour), []dispatch.Want{{Partition: k.part, Epoch: k.Epoch, EndpointID: id, Limit: 1000}})
		if err != nil {
			k.rt.Fatal(err)
		}
		if got := offsets(l[0].Rows); !slices.Equal(want, got) {
			k.rt.Fatalf("of %s the heads are %v, want %v", id, got, want)
		}
	}
}
