package recordings

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"trunkline.dev/trunkline/domain/event"
)

// leftovers are two blobs that are nobody's, in a store that hangs.
type leftovers struct {
	Jobs
	Catalogue
	Blobs
	Fetcher
	Lists
	Calls
	Keys
	Knower
	swept *bool
}

func (leftovers) Retentions() []Retention { return nil }

func (leftovers) Deleting(context.Context, string, int) ([]string, error) { return nil, nil }

func (leftovers) Orphans(_ context.Context, _ time.Duration, _ string, _ int) ([]string, error) {
	return []string{"a", "b"}, nil
}

func (leftovers) Delete(ctx context.Context, _ string) error {
	<-ctx.Done()
	return ctx.Err()
}

func (l leftovers) Sweep(context.Context) error {
	*l.swept = true
	return nil
}

func (leftovers) Append(context.Context, ...event.Event) ([]event.Position, error) { return nil, nil }

// A store that did not answer one deletion of a leftover ended all sweeps, and with them
// retention, until the hub was started again.
func TestAStoreThatHangsEndsNoSweep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := leftovers{swept: new(bool)}
		s, err := New(Config{
			Jobs: l, Catalogue: l, Blobs: l, Fetcher: l, Lists: l, Calls: l, Keys: l, Known: l, Log: l, Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := s.Sweep(ctx); err == nil || !strings.Contains(err.Error(), "and 1 more stay") || !*l.swept || ctx.Err() != nil {
			t.Errorf("the sweep says %v; it came to its end: %v", err, *l.swept)
		}
	})
}
