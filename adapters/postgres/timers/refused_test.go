package timers_test

import (
	"testing"
)

func TestWhatPostgresRefusesIsGonePast(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if _, err := r.pool.Exec(t.Context(), `ALTER TABLE call_timers ADD CHECK (call_id <> 'c2')`); err != nil {
		t.Fatal(err)
	}
	s := r.service(nil, nil)
	session := r.claim(s)
	r.append(end(t, "c1", 0), end(t, "c2", 0), end(t, "c3", 0))
	r.drain(session, 10, nothing)
	r.clock(60)
	r.fire(s, 2) // the waits for the transcripts of the other two
}
