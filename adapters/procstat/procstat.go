// Package procstat tells how much processor time the processes of a hub have
// used: its own and those of the stores that it started. It is for
// measurements on Linux; the hub itself does not use it.
package procstat

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Kind is whose process it is.
type Kind string

// The kinds: the hub itself, its embedded Postgres, its embedded ClickHouse.
const (
	Hub        Kind = "hub"
	Postgres   Kind = "postgres"
	ClickHouse Kind = "clickhouse"
)

// Kinds lists them.
func Kinds() []Kind { return []Kind{Hub, Postgres, ClickHouse} }

// Used is processor time by kind, user and system, with that of children that
// have ended.
type Used map[Kind]time.Duration

// Sum is all of it.
func (u Used) Sum() time.Duration {
	var sum time.Duration
	for _, d := range u {
		sum += d
	}
	return sum
}

// Since is what was used after an earlier reading.
func (u Used) Since(before Used) Used {
	d := make(Used)
	for _, k := range Kinds() {
		d[k] = u[k] - before[k]
	}
	return d
}

// Plus adds two readings.
func (u Used) Plus(v Used) Used {
	d := make(Used)
	for _, k := range Kinds() {
		d[k] = u[k] + v[k]
	}
	return d
}

// Over is the share of per of n things.
func (u Used) Over(n, per int) Used {
	d := make(Used)
	for _, k := range Kinds() {
		d[k] = u[k] * time.Duration(per) / time.Duration(n)
	}
	return d
}

// Of reads what a hub's process and its descendants have used.
func Of(pid int) Used {
	used := make(Used)
	family(pid, func(member int, p process) {
		kind := ClickHouse // the hub's own program once more
		switch {
		case member == pid:
			kind = Hub
		case strings.HasPrefix(p.name, "postgres"):
			kind = Postgres
		}
		used[kind] += p.used
	})
	return used
}

// Written is how many bytes a hub's process and its living descendants have
// sent to the disk; 0 where the kernel does not tell.
func Written(pid int) int64 {
	var sum int64
	family(pid, func(member int, _ process) {
		b, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(member), "io"))
		for line := range strings.Lines(string(b)) {
			if rest, ok := strings.CutPrefix(line, "write_bytes:"); ok {
				n, _ := strconv.ParseInt(strings.TrimSpace(rest), 10, 64)
				sum += n
			}
		}
	})
	return sum
}

// family visits a process and its descendants.
func family(pid int, visit func(member int, p process)) {
	all := stats()
	for queue := []int{pid}; len(queue) > 0; queue = queue[1:] {
		p, ok := all[queue[0]]
		if !ok {
			continue
		}
		visit(queue[0], p)
		for child, c := range all {
			if c.parent == queue[0] {
				queue = append(queue, child)
			}
		}
	}
}

type process struct {
	name   string
	parent int
	used   time.Duration
}

// stats reads /proc. Processes that end meanwhile are left out.
func stats() map[int]process {
	files, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is right
	all := make(map[int]process, len(files))
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if p, ok := parse(b); ok && err == nil {
			all[pid] = p
		}
	}
	return all
}

// tick is the unit of /proc: USER_HZ is 100 on Linux.
const tick = 10 * time.Millisecond

// parse reads a line of proc(5): the name stands in brackets and may hold any.
func parse(line []byte) (process, bool) {
	from, to := bytes.IndexByte(line, '('), bytes.LastIndexByte(line, ')')
	if from < 0 || to < from {
		return process{}, false
	}
	fields := strings.Fields(string(line[to+1:]))
	const parent, first, last = 1, 11, 14 // utime, stime, cutime, cstime
	if len(fields) <= last {
		return process{}, false
	}
	p := process{name: string(line[from+1 : to])}
	var err error
	if p.parent, err = strconv.Atoi(fields[parent]); err != nil {
		return process{}, false
	}
	for _, f := range fields[first : last+1] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return process{}, false
		}
		p.used += time.Duration(n) * tick
	}
	return p, true
}
