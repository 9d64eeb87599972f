package broker

import (
	"errors"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// short is a listener of a process that has no file descriptors left for a while.
type short struct {
	net.Listener
	refuse int
	then   net.Conn
}

func (s *short) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }
func (s *short) Close() error   { return nil }

func (s *short) Accept() (net.Conn, error) {
	if s.refuse == 0 {
		return s.then, nil
	}
	s.refuse--
	return nil, &net.OpError{Op: "accept", Net: "tcp", Err: syscall.EMFILE}
}

// kfake closes its port for good at the first error.
func TestThePortOutlivesAShortageOfFileDescriptors(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer theirs.Close()
		l := newListener(&short{refuse: 20, then: ours})
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	})
}

func TestAClosedPortStopsWaitingForFileDescriptors(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newListener(&short{refuse: 1 << 20})
		time.AfterFunc(time.Minute, func() { l.Close() })
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("accepting on a closed port: %v", err)
		}
	})
}
