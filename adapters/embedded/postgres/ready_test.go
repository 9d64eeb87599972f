package postgres

import (
	"io"
	"net"
	"os/exec"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"trunkline.dev/trunkline/adapters/internal/supervise"
)

// A recovery may take long, and one that is broken off begins anew. A server whose
// sessions others have is not helped by ending it.
func TestAServerThatRecoversIsWaitedFor(t *testing.T) {
	t.Parallel()
	s := &Server{addr: saying(t, "57P03", "57P03", "57P03", "53300"), password: "x"}
	cmd := exec.Command("cat")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p, err := supervise.Exec(cmd)
	if err != nil {
		t.Fatal(err)
	}
	worked := 0
	if err := s.awaitReady(t.Context(), &generation{Process: p, words: new(lastWords)}, func() { worked++ }); err != nil {
		t.Error(err)
	}
	if worked != 3 {
		t.Errorf("it was heard %d times that the server gets on, want 3", worked)
	}
	if err := stdin.Close(); err != nil {
		t.Fatal(err)
	}
	<-p.Exited()
}

// saying is the address of a server that lets nobody in, for each of these reasons
// once.
func saying(t *testing.T, codes ...string) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, code := range codes {
			c, err := l.Accept()
			if err != nil {
				return
			}
			b := pgproto3.NewBackend(c, c)
			if _, err := b.ReceiveStartupMessage(); err == nil {
				b.Send(&pgproto3.ErrorResponse{Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: code, Message: "not now"})
				_ = b.Flush()
			}
			_, _ = io.Copy(io.Discard, c)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return l.Addr().String()
}
