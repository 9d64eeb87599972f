package projections

import "time"

// ConfirmEvery is how long nothing has to come before a session is asked to confirm
// what it did, and between two times: more than a commit of Postgres that does not
// wait for the disk takes to get there, which is three times its wal_writer_delay
// (200 ms) at most.
const ConfirmEvery = 5 * time.Second

// Quiet is how often a session was asked to confirm since it last did something. A
// database that was killed loses the last half second; one that a lagging replica has
// taken over from may lose more, and later, so the question is not asked only once.
type Quiet struct{ asked int }

// Due counts one time more and reports whether the store is to be asked: the first,
// second, fourth and eighth time, and then about once a minute.
func (q *Quiet) Due() bool {
	q.asked++
	return q.asked&(q.asked-1) == 0 || q.asked%12 == 0
}

// Broken is called when something was done.
func (q *Quiet) Broken() { q.asked = 0 }
