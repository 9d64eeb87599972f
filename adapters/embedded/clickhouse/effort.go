package clickhouse

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
)

// What the engine must have done since it was last seen to work. One that waits for
// ever does less in a minute.
const (
	leastTime  = 500 * time.Millisecond
	leastBytes = 1 << 20
)

// tick is what /proc counts a process's time in.
const tick = 10 * time.Millisecond

// effort is what a process has done since it began.
type effort struct {
	processor time.Duration
	bytes     int64 // read from a disk and written to one
}

// effortOf reads what a process has done; what cannot be read is 0.
func effortOf(pid int) effort {
	var e effort
	if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil {
		// The program's name, in brackets, may hold anything. Behind it the times are
		// the 12th and 13th.
		if f := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:]); len(f) > 12 {
			e.processor = time.Duration(number(f[11])+number(f[12])) * tick
		}
	}
	if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid)); err == nil {
		for line := range bytes.Lines(b) {
			name, n, _ := bytes.Cut(line, []byte(": "))
			if s := string(name); s == "read_bytes" || s == "write_bytes" {
				e.bytes += number(bytes.TrimSpace(n))
			}
		}
	}
	return e
}

func number(b []byte) int64 {
	n, _ := strconv.ParseInt(string(b), 10, 64)
	return n
}

// since reports whether a process was at work since an earlier look.
func (e effort) since(earlier effort) bool {
	return e.processor-earlier.processor >= leastTime || e.bytes-earlier.bytes >= leastBytes
}
