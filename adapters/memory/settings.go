package memory

import (
	"context"
	"sync"

	"trunkline.dev/trunkline/commands/settings"
)

// Settings is a settings.Store in memory.
type Settings struct {
	mu    sync.Mutex
	now   *settings.Snapshot
	facts []settings.Fact
}

var _ settings.Store = (*Settings)(nil)

// NewSettings makes an empty store.
func NewSettings() *Settings {
	return &Settings{now: settings.NewSnapshot(0, settings.Changes{})}
}

// Change implements settings.Store.
func (s *Settings) Change(ctx context.Context, decide func(*settings.Snapshot) (settings.Changes, error)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := decide(s.now)
	if err != nil {
		return err
	}
	s.now = s.now.Apply(c)
	s.facts = append(s.facts, c.Facts...)
	return nil
}

// Snapshot returns all settings as they are now.
func (s *Settings) Snapshot() *settings.Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// Facts returns what the admin topic would hold.
func (s *Settings) Facts() []settings.Fact {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]settings.Fact(nil), s.facts...)
}
