package main

import (
	"io"
	"log"
	"log/slog"
)

func parseLevel(s string) (slog.Level, error) {
	var l slog.Level
	err := l.UnmarshalText([]byte(s))
	return l, err
}

// newLogger writes to w. Logs go to standard error: standard output is for
// what a command was asked to print.
func newLogger(w io.Writer, c Config) *slog.Logger {
	level, err := parseLevel(c.LogLevel)
	if err != nil {
		level = slog.LevelInfo // validate has refused it before
	}
	opts := &slog.HandlerOptions{Level: level}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

// adoptStandardLog gives what libraries print by package log to the debug
// level: net/http prints the first bytes of answers that nobody asked for, and
// they are a receiver's, who may have sent ours back.
func adoptStandardLog(l *slog.Logger) {
	log.SetFlags(0)
	log.SetOutput(slog.NewLogLogger(l.Handler(), slog.LevelDebug).Writer())
}
