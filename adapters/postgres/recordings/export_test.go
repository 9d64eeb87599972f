package recordings

import "time"

// The statements whose plans are looked at.
var (
	LeaseSQL      = dueSQL.take
	SomeSQL       = dueSQL.some
	UrgentSQL     = urgentSQL.take
	SomeUrgentSQL = urgentSQL.some
)

const (
	NextSQL       = nextSQL
	NoticesSQL    = noticesSQL
	SomeNoticeSQL = someNoticeSQL
)

// LockedMost says when a store is late.
func (s *Store) LockedMost(d time.Duration) { s.lockedMost = d }
