// Package answer bounds how long a statement waits for Postgres. A server that is
// frozen, or was left behind by a failover, keeps its connections and answers
// nothing, and a context without a deadline waits for it for ever.
package answer

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// Most is how long a statement, or a batch of them, may take with the reading of
// its rows. It is far above what any takes that is not Long.
const Most = 2 * time.Minute

type longKey struct{}

// Long is a context in which statements may take any time: they go through whole
// tables, or wait for others that do.
func Long(ctx context.Context) context.Context { return context.WithValue(ctx, longKey{}, true) }

// Limit ends the statements of a connection that take longer; it is the connection's
// tracer. What a COMMIT that was ended did is unknown, as when a connection breaks.
type Limit time.Duration

var (
	_ pgx.QueryTracer    = Limit(0)
	_ pgx.BatchTracer    = Limit(0)
	_ pgx.CopyFromTracer = Limit(0)
	_ pgx.PrepareTracer  = Limit(0)
)

type endKey struct{}

// begin bounds a statement. The limit of the first counts where one is part of
// another, as the preparing of a query.
func (l Limit) begin(ctx context.Context) context.Context {
	if long, _ := ctx.Value(longKey{}).(bool); long {
		return ctx
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(l))
	return context.WithValue(ctx, endKey{}, cancel)
}

func end(ctx context.Context) {
	if cancel, ok := ctx.Value(endKey{}).(context.CancelFunc); ok {
		cancel()
	}
}

// TraceQueryStart implements pgx.QueryTracer.
func (l Limit) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return l.begin(ctx)
}

// TraceQueryEnd implements pgx.QueryTracer.
func (Limit) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryEndData) { end(ctx) }

// TraceBatchStart implements pgx.BatchTracer.
func (l Limit) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return l.begin(ctx)
}

// TraceBatchQuery implements pgx.BatchTracer: the batch has one limit.
func (Limit) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

// TraceBatchEnd implements pgx.BatchTracer.
func (Limit) TraceBatchEnd(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchEndData) { end(ctx) }

// TraceCopyFromStart implements pgx.CopyFromTracer.
func (l Limit) TraceCopyFromStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceCopyFromStartData) context.Context {
	return l.begin(ctx)
}

// TraceCopyFromEnd implements pgx.CopyFromTracer.
func (Limit) TraceCopyFromEnd(ctx context.Context, _ *pgx.Conn, _ pgx.TraceCopyFromEndData) { end(ctx) }

// TracePrepareStart implements pgx.PrepareTracer.
func (l Limit) TracePrepareStart(ctx context.Context, _ *pgx.Conn, _ pgx.TracePrepareStartData) context.Context {
	return l.begin(ctx)
}

// TracePrepareEnd implements pgx.PrepareTracer.
func (Limit) TracePrepareEnd(ctx context.Context, _ *pgx.Conn, _ pgx.TracePrepareEndData) { end(ctx) }
