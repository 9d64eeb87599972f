package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// usage is what the hub and its embedded stores have used since they started.
type usage struct {
	hub, postgres, clickhouse time.Duration
	// written are the bytes that all of them sent to the disk.
	written int64
}

func (u usage) cpu() time.Duration { return u.hub + u.postgres + u.clickhouse }

func (u usage) minus(v usage) usage {
	return usage{u.hub - v.hub, u.postgres - v.postgres, u.clickhouse - v.clickhouse, u.written - v.written}
}

// per is the use for so many deliveries out of n, in words.
func (u usage) per(deliveries, n int) string {
	share := func(d time.Duration) float64 { return d.Seconds() / float64(n) * float64(deliveries) }
	return fmt.Sprintf("%.2f s (hub %.2f, Postgres %.2f, ClickHouse %.2f)", share(u.cpu()), share(u.hub), share(u.postgres), share(u.clickhouse))
}

// usage reads /proc for the hub and its descendants.
func (h *hub) usage() (usage, error) {
	var u usage
	for _, pid := range family(h.cmd.Process.Pid) {
		cpu, err := cpuOf(pid)
		if errors.Is(err, os.ErrNotExist) {
			continue // ended since it was listed
		}
		if err != nil {
			return u, err
		}
		u.written += writtenBy(pid)
		switch args, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); {
		case pid == h.cmd.Process.Pid:
			u.hub += cpu
		case bytes.Contains(args, []byte("clickhouse")):
			u.clickhouse += cpu
		default:
			u.postgres += cpu
		}
	}
	return u, nil
}

// cpuOf is the time of a process and of the children that it has waited for.
func cpuOf(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, os.ErrNotExist
	}
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+2:]))
	if len(f) < 15 {
		return 0, errors.New("reading /proc: unexpected stat line")
	}
	var ticks int64
	for _, i := range []int{11, 12, 13, 14} {
		n, err := strconv.ParseInt(f[i], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("reading /proc: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil // USER_HZ is 100 on Linux
}

// writtenBy is 0 where the kernel does not tell.
func writtenBy(pid int) int64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "write_bytes:"); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(rest), 10, 64)
			return n
		}
	}
	return 0
}

// family lists a process and its descendants.
func family(root int) []int {
	children := make(map[int][]int)
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return []int{root}
	}
	for _, s := range stats {
		b, err := os.ReadFile(s)
		if err != nil {
			continue
		}
		pid, err1 := strconv.Atoi(filepath.Base(filepath.Dir(s)))
		f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+2:]))
		if len(f) < 2 {
			continue
		}
		parent, err2 := strconv.Atoi(f[1])
		if err1 == nil && err2 == nil {
			children[parent] = append(children[parent], pid)
		}
	}
	all := []int{root}
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i]]...)
	}
	return all
}

// peakMemory is the most memory that the hub process itself held.
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
