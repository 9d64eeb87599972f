// Package procstat tells how much processor time the processes of a hub have
// used: its own and those of the stores that it started. It is for
// measurements on Linux; the hub itself does not use it.
package procstat

import (
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"trunkline.dev/trunkline/adapters/internal/proc"
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
	family(pid, func(member int, p proc.Process) {
		kind := ClickHouse // the hub's own program once more
		switch {
		case member == pid:
			kind = Hub
		case strings.HasPrefix(p.Name, "postgres"):
			kind = Postgres
		}
		used[kind] += p.Used
	})
	return used
}

// Written is how many bytes a hub's process and its living descendants have
// sent to the disk; 0 where the kernel does not tell.
func Written(pid int) int64 {
	var sum int64
	family(pid, func(member int, _ proc.Process) {
		_, written := proc.IO(member)
		sum += written
	})
	return sum
}

// family visits a process and its descendants.
func family(pid int, visit func(member int, p proc.Process)) {
	all := stats()
	for queue := []int{pid}; len(queue) > 0; queue = queue[1:] {
		p, ok := all[queue[0]]
		if !ok {
			continue
		}
		visit(queue[0], p)
		for child, c := range all {
			if c.Parent == queue[0] {
				queue = append(queue, child)
			}
		}
	}
}

// stats reads /proc. Processes that end meanwhile are left out.
func stats() map[int]proc.Process {
	dirs, _ := filepath.Glob("/proc/[0-9]*") // the pattern is right
	all := make(map[int]proc.Process, len(dirs))
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		if p, ok := proc.Stat(pid); ok {
			all[pid] = p
		}
	}
	return all
}
