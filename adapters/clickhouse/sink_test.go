package clickhouse

import (
	"testing"

	"trunkline.dev/trunkline/domain/event"
)

func TestEachEventIsThereOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(1).day(120)
	r := newRig(t, w)
	must(t, replay(t.Context(), r.analytics, 1, w, 50))
	if got, want := r.number(t, "SELECT count() FROM events"), w.distinct(event.PublicTopics()...); got != want {
		t.Errorf("%d events, want %d", got, want)
	}
	wantDigest(t, r.analytics, 1, fresh(t, r.analytics, w))
}

func TestEachAttemptIsThereOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(2).day(60).deliver(event.Calls)
	r := newRig(t, w)
	must(t, replay(t.Context(), r.log, 1, w, 50))
	rows := r.number(t, "SELECT count() FROM delivery_attempts") + r.number(t, "SELECT count() FROM delivery_outcomes")
	parked := r.number(t, "SELECT count() FROM sink_parked FINAL")
	if want := w.distinct(event.Deliveries); rows+parked != want {
		t.Errorf("%d rows and %d parked, want %d", rows, parked, want)
	}
	wantDigest(t, r.log, 1, fresh(t, r.log, w))
}
