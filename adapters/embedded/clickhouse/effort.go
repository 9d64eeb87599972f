package clickhouse

import (
	"time"

	"trunkline.dev/trunkline/adapters/internal/proc"
)

// What the engine must have done since it was last seen to work. One that waits for
// ever does less in a minute.
const (
	leastTime  = 500 * time.Millisecond
	leastBytes = 1 << 20
)

// effort is what a process has done since it began.
type effort struct {
	processor time.Duration
	bytes     int64 // read from a disk and written to one
}

// effortOf reads what a process has done; what cannot be read is 0.
func effortOf(pid int) effort {
	p, _ := proc.Stat(pid)
	read, written := proc.IO(pid)
	return effort{p.Used, read + written}
}

// since reports whether a process was at work since an earlier look.
func (e effort) since(earlier effort) bool {
	return e.processor-earlier.processor >= leastTime || e.bytes-earlier.bytes >= leastBytes
}
