package recordings

import (
	"context"
	"time"

	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/recording"
)

// Jobs keeps what is known of recordings and the work on them, beside what the
// log says. It is safe for concurrent use, also by several processes: a lease
// keeps two from fetching the same recording. Its errors may be transient.
//
// What time it is it says itself, to every process the same: their own clocks may
// differ.
type Jobs interface {
	// Lease leases the recording that is due for the longest to this process, for
	// some time, of the hosts that may be asked; of those that are left alone, one that
	// is urgent (recording.Recording.Urgent). It reports false when there is none.
	// Only what everything in the log was looked at for is due, up to the end of a
	// former lease that nobody gave back.
	Lease(ctx context.Context, lasts time.Duration, h Hosts) (recording.Recording, bool, error)
	// Extend lets leases last for some time from now, and returns those that are
	// still ours.
	Extend(ctx context.Context, ids []string, lasts time.Duration) ([]string, error)
	// Notices returns recordings of which something is to be said by now.
	Notices(ctx context.Context, limit int) ([]string, error)
	// Next is how long it is until Lease or Notices may find something, but for what is
	// urgent of hosts that are left alone; false when they never will.
	Next(ctx context.Context, h Hosts) (time.Duration, bool, error)
	// Woken gets a value when Next may have become earlier. It has one reader.
	Woken() <-chan struct{}
	// Settle locks a recording and lets decide say what is to be true of it. It
	// appends the facts in their order, one durable before the next, and then saves
	// what is after them, and ends our lease if the fetch is over. Whoever else settles
	// it waits. Facts
	// that were appended when it failed are found in the log later. An unknown one
	// is ErrUnknown; an error of decide is returned as it is and changes nothing.
	Settle(ctx context.Context, id string, decide func(Locked) (Decision, error)) error
	// Yield ends the lease of a recording, to be tried again after a pause.
	Yield(ctx context.Context, id string, pause time.Duration) error
	// Begin notes that a blob is about to be written, End that it is gone.
	Begin(ctx context.Context, key, recordingID string) error
	End(ctx context.Context, key string) error
	// Agree notes the SHA-256 of a blob that was begun and is written. It reports false
	// when the recording is stored with other bytes, or another blob of it that was noted
	// has others: of two at once one is first. When it returns true that is durable.
	Agree(ctx context.Context, key, recordingID, sha256 string) (bool, error)
	// Orphans returns blobs that were begun so long ago and are no recording's,
	// as far as all of the log says. One that the log names is none, but for the
	// second copy of a recording that has one. They are in the order of their keys,
	// those behind one, at most limit.
	Orphans(ctx context.Context, age time.Duration, behind string, limit int) ([]string, error)
	// Expired returns stored recordings of a list of its org whose time is over and that are
	// not held, as far as all of the log says, the oldest first: those behind one of
	// them, or from the beginning if that is a zero one.
	Expired(ctx context.Context, k Retention, behind recording.Recording, limit int) ([]recording.Recording, error)
	// Deleting returns recordings that are being deleted (recording.Deleting), as far as
	// all of the log says, in the order of their ids: those behind one, at most limit.
	Deleting(ctx context.Context, behind string, limit int) ([]string, error)
	// Unlisted returns stored recordings of an org whose list is not known, stored
	// after a time, the oldest first; SetList says it.
	Unlisted(ctx context.Context, org string, after time.Time, limit int) ([]recording.Recording, error)
	SetList(ctx context.Context, id, listID string) error
	// Sweep forgets links whose time is over.
	Sweep(ctx context.Context) error
}

// Hosts are those of which a process does not ask for what is due.
type Hosts struct {
	// Busy have all of their requests under way.
	Busy []string
	// Alone are left alone because they serve nothing, but for what is urgent; none
	// of them is busy.
	Alone []string
}

// Locked is a recording while nobody else can change it.
type Locked struct {
	recording.Recording
	// Ours says that the lease is this process's.
	Ours bool
	// Now is what time it is.
	Now time.Time
}

// Decision is what is to be true of a recording.
type Decision struct {
	// Facts are appended one after another.
	Facts []event.Event
	// After is the recording afterwards.
	After recording.Recording
	// Unchanged leaves everything as it is, but for the lease.
	Unchanged bool
	// FetchOver ends our lease. Nothing else does while we fetch: who holds a recording,
	// or says that it is late, does not want it to be fetched twice.
	FetchOver bool
}

// Catalogue answers what is known of recordings. It is safe for concurrent use.
type Catalogue interface {
	// Recording returns a recording whatever its org; ErrUnknown if there is none.
	Recording(ctx context.Context, id string) (recording.Recording, error)
	// Recordings lists an org's, the newest first.
	Recordings(ctx context.Context, f Filter) ([]recording.Recording, string, error)
	// Await returns nil once the effect of what stands at the positions is seen.
	Await(ctx context.Context, positions ...event.Position) error
	// Lives returns until when the link of a recording that says it ends at a time
	// lives; zero if no longer than it says. Revive makes it live until a time.
	Lives(ctx context.Context, id string, ends time.Time) (time.Time, error)
	Revive(ctx context.Context, id string, ends, until time.Time) error
}

// Filter selects recordings of an org.
type Filter struct {
	Org string
	// State and CallID select; "" is any.
	State  call.CopyState
	CallID string
	Limit  int
	Cursor string
}

// Lists tells how long recordings are kept.
type Lists interface {
	// Retentions returns the lists that keep recordings for a time only.
	Retentions() []Retention
}

// Retention is how many days a list keeps recordings.
type Retention struct {
	Org, ListID string
	Days        int
}

// Calls finds the list of a call.
type Calls interface {
	// ListOf returns the list of a call, "" for none; false while the call's
	// beginning is not known.
	ListOf(ctx context.Context, org, callID string) (string, bool, error)
}
