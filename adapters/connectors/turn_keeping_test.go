package connectors

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"trunkline.dev/trunkline/domain/delivery"
)

// leases is a memory of one lease, which others see as free when its time is over.
type leases struct {
	Steps
	broken atomic.Bool

	mu     sync.Mutex
	holder string
	until  time.Time
}

// others reports whether somebody else might begin.
func (l *leases) others() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !time.Now().Before(l.until)
}

func (l *leases) Lease(_ context.Context, _, _, _, holder string, lasts time.Duration) (bool, error) {
	if l.broken.Load() {
		return false, errors.New("no database")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.holder != holder && time.Now().Before(l.until) {
		return false, nil
	}
	l.holder, l.until = holder, time.Now().Add(lasts)
	return true, nil
}

func (*leases) Get(context.Context, string, string, string) (json.RawMessage, error) { return nil, nil }

// TestATurnLastsAsLongAsAnUpload: nobody else begins meanwhile; and who cannot ask anew
// stops before somebody else may.
func TestATurnLastsAsLongAsAnUpload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &leases{}
		a := &attempt{set: &Set{cfg: Config{Steps: l}}, endpoint: delivery.Endpoint{Org: "org", ID: "e"}}
		_, err := turn(t.Context(), a, "file", func(ctx context.Context, _ bool) (any, error) {
			<-time.After(10 * time.Minute)
			if l.others() {
				t.Error("another may begin during the upload")
			}
			return nil, ctx.Err()
		})
		if given := l.others(); err != nil || !given {
			t.Errorf("%v; it is given back: %v", err, given)
		}
		_, err = turn(t.Context(), a, "file", func(ctx context.Context, _ bool) (any, error) {
			l.broken.Store(true)
			<-ctx.Done()
			if l.others() {
				t.Error("it went on when another might have begun")
			}
			return nil, ctx.Err()
		})
		if !errors.Is(err, errTurnLost) {
			t.Errorf("a turn that could not be kept ended with %v", err)
		}
	})
}
