package httpapi

import "log/slog"

// warn tells the operator now and then of what requests go on without.
func (s *Server) warn(what string, err error) {
	if unsaid, ok := s.warnings.Due(what, s.cfg.Clock()); ok {
		s.cfg.Logger.Warn(what, slog.Int("unsaid", unsaid), slog.Any("err", err))
	}
}
