package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"time"
)

// startProfiles serves Go's profiles on an address of their own: they tell what
// the program does and belong to its operator, not to the API.
func (a *app) startProfiles(ctx context.Context) error {
	if a.cfg.ProfileAddr == "" {
		return nil
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", a.cfg.ProfileAddr)
	if err != nil {
		return fmt.Errorf("TRUNKLINE_PROFILE_ADDR: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(l) // ends with the stop below
	}()
	a.onStop("profiles", func(context.Context) error {
		err := srv.Close()
		<-done
		return err
	})
	return nil
}
