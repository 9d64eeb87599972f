package timers

import "time"

// LockedMost says when a service is late.
func (s *Service) LockedMost(d time.Duration) { s.lockedMost = d }
