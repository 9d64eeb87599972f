package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync"

	"trunkline.dev/trunkline/adapters/embedded/broker"
	"trunkline.dev/trunkline/adapters/embedded/clickhouse"
	"trunkline.dev/trunkline/adapters/embedded/postgres"
)

// stack is the services the hub stands on: embedded where none is configured.
type stack struct {
	cfg Config
	log *slog.Logger

	broker     *broker.Broker
	postgres   *postgres.Server
	clickhouse *clickhouse.Engine
}

// startStack starts what is embedded, side by side, and returns when all of it
// answers. On an error nothing is left running.
func startStack(ctx context.Context, cfg Config, log *slog.Logger) (*stack, error) {
	if err := os.MkdirAll(cfg.DataDir, 0o755); err != nil {
		return nil, fmt.Errorf("TRUNKLINE_DATA_DIR: %w", err)
	}
	s := &stack{cfg: cfg, log: log}
	if err := s.build(); err != nil {
		return nil, err
	}
	starting, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	var brokerErr, postgresErr, clickhouseErr error
	start := func(err *error, start func(context.Context) error) {
		wg.Go(func() {
			if *err = start(starting); inUse(*err) {
				cancel() // the others are in use as well, or are not needed
			}
		})
	}
	if s.broker != nil {
		start(&brokerErr, s.broker.Start)
	}
	if s.postgres != nil {
		start(&postgresErr, s.postgres.Start)
	}
	if s.clickhouse != nil {
		start(&clickhouseErr, s.clickhouse.Start)
	}
	wg.Wait()
	if err := errors.Join(brokerErr, postgresErr, clickhouseErr); err != nil {
		if inUse(err) {
			err = fmt.Errorf("%s is in use by another hub: stop that one, or set TRUNKLINE_DATA_DIR to a directory of this one's", cfg.DataDir)
		}
		return nil, errors.Join(err, s.stop(context.WithoutCancel(ctx)))
	}
	return s, nil
}

// inUse reports whether a store did not start because another hub runs it.
func inUse(err error) bool {
	return errors.Is(err, broker.ErrInUse) || errors.Is(err, postgres.ErrInUse) || errors.Is(err, clickhouse.ErrInUse)
}

func (s *stack) build() (err error) {
	if s.cfg.embeddedKafka() {
		if s.broker, err = broker.New(broker.Config{Addr: s.cfg.KafkaAddr, DataDir: s.cfg.DataDir, Partitions: s.cfg.KafkaPartitions, Logger: s.log}); err != nil {
			return err
		}
	}
	if s.cfg.embeddedPostgres() {
		if s.postgres, err = postgres.New(postgres.Config{Addr: s.cfg.PostgresAddr, DataDir: s.cfg.DataDir, Logger: s.log}); err != nil {
			return err
		}
	}
	if s.cfg.embeddedClickHouse() {
		lib, err := clickhouse.FindEngine(s.cfg.ClickHouseEngine)
		if err != nil {
			return err
		}
		s.clickhouse, err = clickhouse.New(clickhouse.Config{
			Lib: lib, DataDir: s.cfg.DataDir, HTTPAddr: s.cfg.ClickHouseAddr, NativeAddr: s.cfg.ClickHouseNativeAddr,
			BIPassword: s.cfg.ClickHouseBIPassword, BIQueryTime: s.cfg.ClickHouseBITime, Logger: s.log,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// stop ends the embedded services in the order that lets each finish: nothing
// writes any more when it is called.
func (s *stack) stop(ctx context.Context) error {
	var wg sync.WaitGroup
	var brokerErr, postgresErr, clickhouseErr error
	if s.broker != nil {
		wg.Go(func() { brokerErr = s.broker.Stop(ctx) })
	}
	if s.postgres != nil {
		wg.Go(func() { postgresErr = s.postgres.Stop(ctx) })
	}
	if s.clickhouse != nil {
		wg.Go(func() { clickhouseErr = s.clickhouse.Stop(ctx) })
	}
	wg.Wait()
	return errors.Join(brokerErr, postgresErr, clickhouseErr)
}

func (s *stack) brokers() []string {
	if s.broker != nil {
		return []string{s.broker.Addr()}
	}
	return s.cfg.KafkaBrokers
}

// brokerErr is what the embedded Kafka complained of lately.
func (s *stack) brokerErr() error {
	if s.broker == nil {
		return nil
	}
	return s.broker.Err()
}

// postgresErr is what keeps the embedded Postgres from serving: it restarts, or does
// not answer.
func (s *stack) postgresErr() error {
	if s.postgres == nil {
		return nil
	}
	return s.postgres.Err()
}

// clickHouseErr is what keeps the embedded ClickHouse from serving.
func (s *stack) clickHouseErr() error {
	if s.clickhouse == nil {
		return nil
	}
	return s.clickhouse.Err()
}

func (s *stack) postgresURL() string {
	if s.postgres != nil {
		return s.postgres.URL()
	}
	return s.cfg.PostgresURL
}

func (s *stack) clickhouseURL() string {
	if s.clickhouse == nil {
		return s.cfg.ClickHouseURL
	}
	u := url.URL{
		Scheme: "clickhouse", User: url.UserPassword(clickhouse.User, s.clickhouse.Password()),
		Host: s.clickhouse.NativeAddr(), Path: "/" + clickhouse.Database,
	}
	return u.String()
}

// embeddedURLs are the doors of an embedded stack that another process started
// on this data directory, for the commands that look into the stores.
func embeddedURLs(cfg Config) (postgresURL, clickhouseURL string, err error) {
	postgresURL, clickhouseURL = cfg.PostgresURL, cfg.ClickHouseURL
	if postgresURL == "" {
		password, err := os.ReadFile(filepath.Join(cfg.DataDir, "postgres.password"))
		if err != nil {
			return "", "", fmt.Errorf("reading the embedded Postgres's password (is TRUNKLINE_DATA_DIR the hub's?): %w", err)
		}
		u := url.URL{Scheme: "postgres", User: url.UserPassword(postgres.User, trim(password)), Host: cfg.PostgresAddr, Path: postgres.Database, RawQuery: "sslmode=disable"}
		postgresURL = u.String()
	}
	if clickhouseURL == "" {
		password := cfg.ClickHouseBIPassword
		if password == "" {
			b, err := os.ReadFile(filepath.Join(cfg.DataDir, "clickhouse-bi.password"))
			if err != nil {
				return "", "", fmt.Errorf("reading the embedded ClickHouse's password (is TRUNKLINE_DATA_DIR the hub's?): %w", err)
			}
			password = trim(b)
		}
		u := url.URL{Scheme: "clickhouse", User: url.UserPassword("bi", password), Host: cfg.ClickHouseNativeAddr, Path: "/" + clickhouse.Database}
		clickhouseURL = u.String()
	}
	return postgresURL, clickhouseURL, nil
}
