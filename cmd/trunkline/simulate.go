package main

import (
	"context"
	"time"

	"trunkline.dev/trunkline/cmd/internal/simulate"
)

type simulateCommand struct {
	Agents     int           `default:"200" help:"How many agents work."`
	Hours      float64       `default:"8" help:"How long their day is."`
	Speed      float64       `default:"60" help:"Virtual seconds per second."`
	Seed       uint64        `default:"1" help:"Makes the day repeatable."`
	NoWebhooks bool          `help:"Do not register a receiver on this machine (a hub whose outbound guard forbids loopback needs this)."`
	Patience   time.Duration `default:"4m" help:"How long to wait for the stores at the end, and to retry while the hub is away."`
}

func (c simulateCommand) Run(ctx context.Context, s streams) error {
	op, cfg, err := newOperator()
	if err != nil {
		return err
	}
	pg, ch, err := embeddedURLs(cfg)
	if err != nil {
		return err
	}
	brokers := cfg.KafkaBrokers
	if cfg.embeddedKafka() {
		brokers = []string{cfg.KafkaAddr}
	}
	access, err := cfg.kafkaAccess()
	if err != nil {
		return misused{err}
	}
	rep, err := simulate.Run(ctx, simulate.Options{
		BaseURL: op.base, AdminKey: op.key, Agents: c.Agents, Hours: c.Hours, Speed: c.Speed, Seed: c.Seed,
		Webhooks: !c.NoWebhooks, Patience: c.Patience, Progress: s.err,
		Stores: simulate.Stores{KafkaBrokers: brokers, KafkaTLS: access.tls, KafkaSASL: access.login, PostgresURL: pg, ClickHouseURL: ch},
	})
	if rep.Org != "" {
		if werr := rep.Write(s.out); werr != nil {
			return werr
		}
	}
	return err
}
