package recordings

// The statements whose plans are looked at.
const (
	LeaseSQL      = leaseSQL
	NextSQL       = nextSQL
	SomeSQL       = someSQL
	NoticesSQL    = noticesSQL
	SomeNoticeSQL = someNoticeSQL
)
