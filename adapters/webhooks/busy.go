package webhooks

import (
	"bytes"
	"os"
	"strconv"
	"sync"
	"time"
)

// busyWindow is what the machine's idleness is measured over.
const busyWindow = 25 * time.Millisecond

// busyBelow is the share of idle time below which a machine is at its end.
const busyBelow = 0.08

// MachineBusy returns a Config.Busy that reads from /proc/stat how idle the
// machine's processors were in the last moments. Where there is none, as
// outside of Linux, it says false, and late timers have to tell.
func MachineBusy() func() bool {
	var mu sync.Mutex
	var last time.Time
	var idle, all uint64
	busy := false
	return func() bool {
		mu.Lock()
		defer mu.Unlock()
		now := time.Now()
		if now.Sub(last) < busyWindow {
			return busy
		}
		i, a, ok := processorTimes()
		if !ok || a <= all {
			return busy
		}
		busy = !last.IsZero() && float64(i-idle) < busyBelow*float64(a-all)
		last, idle, all = now, i, a
		return busy
	}
}

// processorTimes reads the first line of proc_stat(5): idle and waiting for
// disks, and all there is, in ticks since the start.
func processorTimes() (idle, all uint64, ok bool) {
	f, err := os.Open("/proc/stat")
	if err != nil {
		return 0, 0, false
	}
	defer f.Close()
	var buf [256]byte
	n, _ := f.Read(buf[:])
	line, _, found := bytes.Cut(buf[:n], []byte("\n"))
	fields := bytes.Fields(line)
	if !found || len(fields) < 9 || string(fields[0]) != "cpu" {
		return 0, 0, false
	}
	for i, f := range fields[1:9] { // guest time is in user time already
		ticks, err := strconv.ParseUint(string(f), 10, 64)
		if err != nil {
			return 0, 0, false
		}
		all += ticks
		if i == 3 || i == 4 {
			idle += ticks
		}
	}
	return idle, all, true
}
