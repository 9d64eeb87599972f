package clickhouse

import (
	"context"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// The supervisor says how long an answer may take. One that gives up before it has
// never found a frozen engine.
func TestSilenceIsNoAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &Engine{httpAddr: "127.0.0.1:8123", client: newClient()}
		frozen := func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			t.Cleanup(func() { theirs.Close() })
			return ours, nil
		}
		e.client.Transport.(*http.Transport).DialContext = frozen
		g := &generation{ask: func(ctx context.Context) error { return e.query(ctx, "SELECT 1") }}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if g.Ask(ctx); ctx.Err() == nil {
			t.Error("it passes for an answer")
		}
		synctest.Wait()
	})
}
