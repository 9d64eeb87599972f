package webhooks

import (
	"context"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
)

// committer is dispatch.Store's Commit.
type committer func(context.Context, dispatch.Batch) ([]dispatch.Partition, map[string]delivery.Health, error)

// meddler is a store whose commits something happens to.
type meddler struct {
	deadStore
	meddle func(ctx context.Context, b dispatch.Batch, commit committer) ([]dispatch.Partition, map[string]delivery.Health, error)
}

func (m meddler) Commit(ctx context.Context, b dispatch.Batch) ([]dispatch.Partition, map[string]delivery.Health, error) {
	return m.meddle(ctx, b, m.deadStore.Commit)
}

// meddled configures an engine so that something happens to its commits.
func meddled(with func(ctx context.Context, b dispatch.Batch, commit committer) ([]dispatch.Partition, map[string]delivery.Health, error)) func(*Config) {
	return func(c *Config) { c.Store = meddler{c.Store.(deadStore), with} }
}
