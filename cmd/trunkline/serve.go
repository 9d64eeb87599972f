package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"
)

// drain bounds the stop after SIGTERM; an orchestrator kills soon after.
const drain = 14 * time.Second

// adminKeyFile holds the first org's admin key in the data directory.
const adminKeyFile = "admin.key"

type serveCommand struct {
	Role []string `help:"Roles to run, instead of TRUNKLINE_ROLES: api, projector, webhooks."`
}

func (c serveCommand) Run(ctx context.Context, s streams) error {
	cfg, err := loadConfig()
	if err = errors.Join(unknownSettings(os.Environ()), err); err != nil {
		return misused{err}
	}
	if len(c.Role) > 0 {
		cfg.Roles = nil
		for _, r := range c.Role {
			cfg.Roles = append(cfg.Roles, strings.Split(r, ",")...)
		}
		if err := cfg.validate(); err != nil {
			return misused{err}
		}
	}
	began := time.Now()
	log := newLogger(s.err, cfg)
	adoptStandardLog(log)
	app, err := newApp(ctx, cfg, log)
	if errors.Is(err, errBrokenOff) {
		log.InfoContext(ctx, "stopped while starting", slog.Any("err", err))
		return nil
	}
	if err != nil {
		return err
	}
	if err := app.greet(s.out, time.Since(began)); err != nil {
		return errors.Join(err, app.stop(context.Background()))
	}
	err = app.wait(ctx)
	fmt.Fprintln(s.err, "stopping")
	stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	return errors.Join(err, app.stop(stopCtx))
}
