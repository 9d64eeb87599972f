package postgres

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"trunkline.dev/trunkline/adapters/internal/background"
	"trunkline.dev/trunkline/adapters/postgres/internal/dbtime"
)

const (
	// clockEvery is how often the database is asked for the time.
	clockEvery = 10 * time.Second
	// clockNear is by how much a Clock may differ from the database's: it is set as
	// seldom as possible, because time that passes is read from it too.
	clockNear = 100 * time.Millisecond
)

// Clock tells what time it is by the database's clock, to every hub the same whatever
// their machines' say: a time that one has written is compared with another's. Between
// two looks, and while the database is away, it goes on by itself. It is safe for
// concurrent use.
type Clock struct {
	pool  *pgxpool.Pool
	local func() time.Time
	now   atomic.Pointer[reading]
	loop  background.Loop
}

// reading is what time it was here and there.
type reading struct{ local, there time.Time }

// NewClock makes a clock that is the machine's until Set.
func NewClock(pool *pgxpool.Pool) *Clock { return &Clock{pool: pool, local: time.Now} }

// Now is a commands.Clock.
func (c *Clock) Now() time.Time {
	if r := c.now.Load(); r != nil {
		return r.there.Add(c.local().Sub(r.local)).UTC()
	}
	return c.local()
}

// Set asks the database. Of an answer that took a while it is not known when it was
// true, and it counts only as far as that does not matter.
func (c *Clock) Set(ctx context.Context) error {
	before := c.local()
	there, err := dbtime.Now(ctx, c.pool)
	if err != nil {
		return err
	}
	half := c.local().Sub(before) / 2
	r := &reading{local: before.Add(half), there: there}
	if old := c.now.Load(); old != nil && old.there.Add(r.local.Sub(old.local)).Sub(there).Abs() <= half+clockNear {
		return nil
	}
	c.now.Store(r)
	return nil
}

// Start begins to ask now and then. Starting twice is harmless.
func (c *Clock) Start(ctx context.Context) {
	c.loop.Start(ctx, func(ctx context.Context) {
		for background.Rest(ctx, clockEvery) {
			_ = c.Set(ctx) // who needs the database says that it is away
		}
	})
}

// Stop ends that. Stopping twice, or before Start, is harmless.
func (c *Clock) Stop(ctx context.Context) error { return c.loop.Stop(ctx, "the clock") }
