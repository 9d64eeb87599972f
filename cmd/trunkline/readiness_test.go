package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"trunkline.dev/trunkline/adapters/kafka"
)

func TestALogThatTakesNothingIsDown(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	full := errors.New("no space left on device")
	for name, tc := range map[string]struct {
		stats    kafka.Stats
		embedded error
		want     string
	}{
		"nothing ever failed":       {kafka.Stats{Batches: 7}, nil, ""},
		"it failed and works again": {kafka.Stats{Batches: 7, Retries: 3, LastError: full, LastErrorAt: now}, nil, ""},
		"it fails":                  {kafka.Stats{Batches: 7, Failing: 2, LastError: full, LastErrorAt: now.Add(-time.Second)}, nil, "2 partitions take no facts: no space left on device"},
		"it fails, and is embedded": {
			kafka.Stats{Failing: 2, LastError: kafkago.Unknown, LastErrorAt: now},
			full,
			"2 partitions take no facts: " + kafkago.Unknown.Error() + ": no space left on device",
		},
		"nobody has tried lately": {kafka.Stats{Batches: 7, Failing: 2, LastError: full, LastErrorAt: now.Add(-time.Minute)}, full, ""},
	} {
		got := ""
		if err := appends(tc.stats, now, tc.embedded); err != nil {
			got = err.Error()
		}
		if got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

func TestAnEmbeddedStoreThatDoesNotAnswerIsDown(t *testing.T) {
	t.Parallel()
	late, frozen := context.DeadlineExceeded, errors.New("Postgres gave no answer for 20s")
	for want, tc := range map[string]struct{ asked, embedded error }{
		"":                                   {},
		late.Error():                         {asked: late},
		frozen.Error():                       {embedded: frozen},
		late.Error() + ": " + frozen.Error(): {late, frozen},
	} {
		got := ""
		if err := serves(tc.asked, tc.embedded); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestAPartThatHangsIsTheOnlyOneThatIsDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		hangs := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		works := func(ctx context.Context) error { return ctx.Err() }
		got := askAll(ctx, []check{{"kafka", hangs}, {"postgres", works}, {"clickhouse", works}})
		if !errors.Is(got[0], context.DeadlineExceeded) || got[1] != nil || got[2] != nil {
			t.Errorf("one hangs, two work: %v", got)
		}
	})
}
