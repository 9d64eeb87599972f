package recordings

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/recording"
)

// hanging is a source that serves and a store that answers nothing from one act on, until
// whoever asks it gives up.
type hanging struct {
	leftovers
	from    string
	yielded *[]time.Duration
	ctx     context.Context //nolint:containedctx // of the one blob that it writes
}

func (h hanging) act(what string) error {
	if what != h.from {
		return nil
	}
	<-h.ctx.Done()
	return h.ctx.Err()
}

func (h hanging) Fetch(_ context.Context, _ Offer, open func(string) (io.Writer, error)) error {
	w, err := open("audio/mpeg")
	if err != nil {
		return err
	}
	_, err = w.Write([]byte("audio"))
	return err
}

func (hanging) Begin(context.Context, string, string) error { return nil }

func (h hanging) Create(ctx context.Context, _, _ string) (BlobWriter, error) {
	h.ctx = ctx
	return h, h.act("create")
}

func (h hanging) Write(b []byte) (int, error) { return len(b), h.act("write") }

func (h hanging) Commit() error { return h.act("commit") }

func (hanging) Abort() {}

func (h hanging) Yield(_ context.Context, _ string, pause time.Duration) error {
	*h.yielded = append(*h.yielded, pause)
	return nil
}

// A store that answered nothing had the slot of a fetch for ever; when it had them all,
// nothing was fetched until the hub was started again.
func TestAStoreThatHangsHasASlotForAWhileOnly(t *testing.T) {
	t.Parallel()
	for _, from := range []string{"create", "write", "commit"} {
		t.Run(from, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := hanging{leftovers: leftovers{swept: new(bool)}, from: from, yielded: new([]time.Duration)}
				s, err := New(Config{
					Jobs: h, Catalogue: h, Blobs: h, Fetcher: h, Lists: h, Calls: h, Keys: h, Known: h, Log: h, Logger: slog.New(slog.DiscardHandler),
				})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				if err := s.fetch(ctx, recording.Recording{ID: "r", Org: "org"}); !errors.Is(err, errStoreHangs) {
					t.Errorf("the fetch ended with %v", err)
				}
				if len(*h.yielded) != 1 || (*h.yielded)[0] != ownTrouble {
					t.Errorf("its lease was given back %v", *h.yielded)
				}
			})
		})
	}
}

func (hanging) Append(context.Context, ...event.Event) ([]event.Position, error) { return nil, nil }
