// Package proc reads what Linux tells of a process, proc(5).
package proc

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Process is what the kernel knows of one.
type Process struct {
	Name   string
	Parent int
	// Used is its processor time, user and system, with that of children that have ended.
	Used time.Duration
}

// tick is the unit of /proc: USER_HZ is 100 on Linux.
const tick = 10 * time.Millisecond

// Stat reads a process; false if it is gone.
func Stat(pid int) (Process, bool) {
	b, err := os.ReadFile(file(pid, "stat"))
	if err != nil {
		return Process{}, false
	}
	return parse(b)
}

// IO is how many bytes a process has had read from a disk and written to one; 0 where
// the kernel does not tell.
func IO(pid int) (read, written int64) {
	b, _ := os.ReadFile(file(pid, "io"))
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(line, ":")
		n, _ := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
		switch name {
		case "read_bytes":
			read = n
		case "write_bytes":
			written = n
		}
	}
	return read, written
}

func file(pid int, name string) string { return filepath.Join("/proc", strconv.Itoa(pid), name) }

// parse reads a line of stat: the name stands in brackets and may hold any.
func parse(line []byte) (Process, bool) {
	from, to := bytes.IndexByte(line, '('), bytes.LastIndexByte(line, ')')
	if from < 0 || to < from {
		return Process{}, false
	}
	fields := strings.Fields(string(line[to+1:]))
	const parent, first, last = 1, 11, 14 // utime, stime, cutime, cstime
	if len(fields) <= last {
		return Process{}, false
	}
	p := Process{Name: string(line[from+1 : to])}
	var err error
	if p.Parent, err = strconv.Atoi(fields[parent]); err != nil {
		return Process{}, false
	}
	for _, f := range fields[first : last+1] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return Process{}, false
		}
		p.Used += time.Duration(n) * tick
	}
	return p, true
}
