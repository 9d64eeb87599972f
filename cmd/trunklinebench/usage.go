package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"trunkline.dev/trunkline/adapters/procstat"
)

// usage is what the hub and its embedded stores have used for something.
type usage struct {
	cpu procstat.Used
	// written are the bytes that all of them sent to the disk.
	written int64
	// peak is the most memory that the hub process itself held meanwhile.
	peak int64
}

// usageOf is what is used for a thing. It counts the memory of one at a time.
func (h *hub) usageOf(thing func() error) (usage, error) {
	if err := h.forgetPeak(); err != nil {
		return usage{}, err
	}
	cpu, written := h.cpu(), procstat.Written(h.cmd.Process.Pid)
	if err := thing(); err != nil {
		return usage{}, err
	}
	peak, err := h.peakMemory()
	return usage{cpu: h.cpu().Since(cpu), written: procstat.Written(h.cmd.Process.Pid) - written, peak: peak}, err
}

// perThousand is the processor time of a thousand out of n, in words.
func (u usage) perThousand(n int) string {
	d := u.cpu.Over(n, 1000)
	return fmt.Sprintf("%.2f s (hub %.2f, Postgres %.2f, ClickHouse %.2f)", d.Sum().Seconds(),
		d[procstat.Hub].Seconds(), d[procstat.Postgres].Seconds(), d[procstat.ClickHouse].Seconds())
}

// idle waits until the hub and its stores do next to nothing: what one step leaves
// them to tidy up (vacuum, merges) is not to be done in the time of the next. It
// gives up waiting after a minute.
func (h *hub) idle(ctx context.Context) error {
	const look = 500 * time.Millisecond
	for range int(time.Minute / look) {
		before := h.cpu()
		if err := waitUntil(ctx, time.Now().Add(look)); err != nil {
			return err
		}
		if h.cpu().Since(before).Sum() < look/10 {
			return nil
		}
	}
	return nil
}

// memory is a peak in words.
func memory(peak int64) string { return fmt.Sprintf("%d MB", peak>>20) }

// forgetPeak lets the next peak begin at what the hub holds now: proc(5),
// /proc/pid/clear_refs.
func (h *hub) forgetPeak() error {
	peak, err := h.peakMemory()
	h.peak = max(h.peak, peak)
	return errors.Join(err, os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", h.cmd.Process.Pid), []byte("5"), 0))
}

// peakMemory is the most memory that the hub process itself held since forgetPeak.
func (h *hub) peakMemory() (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", h.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kb << 10, err
		}
	}
	return 0, errors.New("no VmHWM")
}
