package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// session is one that is asked whether it answers. It is used by one goroutine at a
// time.
type session struct {
	conn   *pgx.Conn
	answer chan struct{} // closed with the answer; nil before the question
}

// answers asks, or goes on waiting for the answer of an earlier call, and returns
// false when ctx is done first. A session that was ended is answered.
func (s *session) answers(ctx context.Context) bool {
	if s.answer == nil {
		s.answer = make(chan struct{})
		go func() {
			defer close(s.answer)
			// Not with ctx, which would end the session: a frozen one has to be
			// found frozen again.
			_ = s.conn.Ping(context.WithoutCancel(ctx))
		}()
	}
	select {
	case <-s.answer:
		return true
	case <-ctx.Done():
		return false
	}
}

// end closes the session; it does not wait for the server.
func (s *session) end() {
	_ = s.conn.PgConn().Conn().Close()
	if s.answer != nil {
		<-s.answer
	}
}
