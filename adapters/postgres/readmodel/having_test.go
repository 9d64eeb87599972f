package readmodel_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"trunkline.dev/trunkline/adapters/postgres/readmodel"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/lead"
	"trunkline.dev/trunkline/projections"
)

// A Postgres that is killed goes back to what it had flushed. What had waited for
// more is told so, by every read that must not be wrong, until it is there again.
func TestAReadModelThatWentBackIsNotBelieved(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	progress := readmodel.NewProgress(r.pool, quiet(t))
	t.Cleanup(func() { _ = progress.Stop(context.Background()) })
	positions := r.append(
		fact(t, "org", "l1", "e1", 1, lead.Upserted{Phone: "+14155550100"}),
		fact(t, "org", "c1", "e2", 2, call.Started{Direction: "outbound", From: "+14155550111", To: "+14155550100", LeadID: "l1"}),
		fact(t, "org", "c1", "e3", 3, call.NoteAdded{Note: "n"}),
	)
	for _, name := range []string{"calls", "leads"} {
		runner := r.run(name, live())
		r.catchUp(name, 1)
		if err := runner.Stop(t.Context()); err != nil { // it would mend what is broken here
			t.Fatal(err)
		}
	}
	var last event.Recorded
	for _, e := range r.log.Events(event.Calls) {
		last = e
	}
	c1 := []projections.Key{{Org: "org", ID: "c1"}}
	l1 := []projections.Key{{Org: "org", ID: "l1"}}
	reads := map[string]func(ctx context.Context) (int, error){
		"Known": func(ctx context.Context) (int, error) {
			found, err := r.reader.Known(ctx, event.Calls, c1, last.Position)
			return len(found), err
		},
		"Views": func(ctx context.Context) (int, error) {
			found, err := r.reader.Views(ctx, []event.Recorded{last}, positions...)
			return len(found), err
		},
		"AsOf": func(ctx context.Context) (int, error) { return 1, r.reader.AsOf(ctx, nil, positions...) },
		"CallLeads": func(ctx context.Context) (int, error) {
			found, err := r.reader.CallLeads(ctx, l1, positions...)
			return len(found), err
		},
		"Earlier": func(ctx context.Context) (int, error) {
			after := last
			after.Position.Offset++
			found, err := r.reader.Earlier(ctx, after, 2, 1)
			return len(found), err
		},
	}
	read := func(want error) {
		t.Helper()
		for name, ask := range reads {
			found, err := ask(t.Context())
			if !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", name, err, want)
			}
			if want == nil && found != 1 {
				t.Errorf("%s found %d, want 1", name, found)
			}
		}
	}
	await := func(patience time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		return projections.Await(ctx, progress, positions...)
	}
	read(nil)
	if err := await(time.Minute); err != nil {
		t.Fatal(err)
	}

	checkpoints := func(by int) {
		t.Helper()
		if _, err := r.pool.Exec(t.Context(), "UPDATE checkpoints SET next = next + $1 WHERE projection = 'calls' AND next > 0", by); err != nil {
			t.Fatal(err)
		}
	}
	checkpoints(-1)
	read(projections.ErrBehind)
	if err := await(50 * time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting for what is lost: %v, want %v", err, context.DeadlineExceeded)
	}
	checkpoints(+1)
	if err := await(time.Minute); err != nil {
		t.Error(err)
	}
	read(nil)
	checkpoints(-1)
	if _, err := r.pool.Exec(t.Context(), "DELETE FROM checkpoints WHERE projection = 'calls'"); err != nil {
		t.Fatal(err)
	}
	read(projections.ErrBehind)
	if err := await(50 * time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting for what never was: %v, want %v", err, context.DeadlineExceeded)
	}
}
