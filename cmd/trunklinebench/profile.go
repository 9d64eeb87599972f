package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"trunkline.dev/trunkline/adapters/procstat"
)

// profiler keeps the hub's profiles of each step in a folder, and says which
// process used the processor. A nil profiler does nothing.
type profiler struct {
	hub *hub
	dir string
}

// newProfiler keeps profiles of a hub in a folder; "" keeps none.
func newProfiler(h *hub, dir string) *profiler {
	if dir == "" {
		return nil
	}
	return &profiler{hub: h, dir: dir}
}

// during runs a step while the hub's CPU is profiled, and keeps its heap after.
func (p *profiler) during(ctx context.Context, name string, step func() error) error {
	if p == nil {
		return step()
	}
	name = strings.ReplaceAll(name, " ", "-")
	before := p.hub.cpu()
	began := time.Now()
	done := make(chan error, 1)
	go func() { done <- p.fetch(ctx, "profile", fmt.Sprintf("seconds=%d", profileSeconds), name+".cpu") }()
	err := step()
	fmt.Fprintf(os.Stderr, "  %s took %.1f s; CPU seconds:%s\n", name, time.Since(began).Seconds(), byKind(p.hub.cpu().Since(before)))
	err = errors.Join(err, <-done)
	return errors.Join(err, p.fetch(ctx, "heap", "", name+".heap"), p.fetch(ctx, "allocs", "", name+".allocs"))
}

// profileSeconds is how long a CPU profile is; a longer step shows its beginning.
const profileSeconds = 8

func (p *profiler) fetch(ctx context.Context, what, query, file string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.hub.profiles+"/debug/pprof/"+what+"?"+query, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("fetching the profile %s: %w", what, err)
	}
	defer resp.Body.Close()
	if err := os.MkdirAll(p.dir, 0o750); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(p.dir, file))
	if err != nil {
		return err
	}
	_, err = io.Copy(f, resp.Body)
	return errors.Join(err, f.Close())
}

// byKind says how much each kind of process used.
func byKind(used procstat.Used) string {
	var b strings.Builder
	for _, kind := range procstat.Kinds() {
		fmt.Fprintf(&b, " %s %.2f", kind, used[kind].Seconds())
	}
	return b.String()
}
