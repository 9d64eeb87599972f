package recordings

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
