package reactor

import (
	"fmt"
	"time"
)

// LockedMost is how long after a transaction was last heard of its rows are taken to
// be locked. Postgres ends one that idles (postgres.IdleLimit); with what is waited for
// afterwards, this is shorter.
const LockedMost = 12 * time.Second

// Late returns an error if more than so much time has passed since a statement that
// locked rows was begun: the process was frozen, and the rows may have been another's
// since. It is asked last of all before something is done that no transaction takes
// back: the log has no locks.
func Late(began time.Time, most time.Duration) error {
	if took := time.Since(began); took > most {
		return fmt.Errorf("the rows were locked %s ago and may be another hub's by now", took.Round(time.Millisecond))
	}
	return nil
}
