package webhooks

// sockets shares the requests that may be under way in all. When there are
// none left, orgs take turns, and within an org its lanes do, one request a
// turn: neither a thousand endpoints of one org nor one endpoint that hangs can
// take more than their turns. It is guarded by Engine.mu.
type sockets struct {
	free    int
	orgs    []string
	waiting map[string][]*lane
}

func newSockets(n int) *sockets { return &sockets{free: n, waiting: make(map[string][]*lane)} }

// acquire takes a socket for a lane, or queues the lane for its turn.
func (s *sockets) acquire(l *lane) bool {
	if s.free > 0 && len(s.orgs) == 0 {
		s.free--
		return true
	}
	s.queue(l)
	return false
}

func (s *sockets) queue(l *lane) {
	if l.queuedForSocket {
		return
	}
	l.queuedForSocket = true
	org := l.endpoint.Org
	if len(s.waiting[org]) == 0 {
		s.orgs = append(s.orgs, org)
	}
	s.waiting[org] = append(s.waiting[org], l)
}

// next takes a socket for the lane whose turn it is; nil when there is no
// socket or nobody waits.
func (s *sockets) next() *lane {
	if s.free == 0 || len(s.orgs) == 0 {
		return nil
	}
	org := s.orgs[0]
	s.orgs = s.orgs[1:]
	l := s.waiting[org][0]
	s.waiting[org] = s.waiting[org][1:]
	if len(s.waiting[org]) > 0 {
		s.orgs = append(s.orgs, org)
	} else {
		delete(s.waiting, org)
	}
	l.queuedForSocket = false
	s.free--
	return l
}

func (s *sockets) release() { s.free++ }
