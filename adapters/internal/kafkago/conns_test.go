package kafkago

import (
	"io"
	"net"
	"strings"
	"testing"
)

// A connection that ends without an answer tells of a wrong listener, but not where
// others have been answered: a broker that is restarted ends such connections too.
func TestAListenerThatHasServedIsNotSuspected(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	answers := make(chan int, 1)
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			for range <-answers {
				b := make([]byte, 1)
				_, _ = io.ReadFull(nc, b)
				_, _ = nc.Write(b)
			}
			_, _ = io.ReadFull(nc, make([]byte, 1)) // asked, and gone
			_ = nc.Close()
		}
	}()
	var conns Conns
	ask := func(answered int) error {
		answers <- answered
		nc, err := conns.Dial(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		for {
			if _, err = nc.Write([]byte{0}); err == nil {
				_, err = nc.Read(make([]byte, 1))
			}
			if err != nil {
				return err
			}
		}
	}
	for _, c := range []struct {
		answered  int
		suspected bool
	}{{0, true}, {1, true}, {2, false}, {0, false}, {1, false}} {
		if err := ask(c.answered); strings.Contains(err.Error(), "TRUNKLINE_KAFKA") != c.suspected {
			t.Errorf("after %d answers: %v", c.answered, err)
		}
	}
}
