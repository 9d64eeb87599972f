package httpapi

import (
	"context"
	"errors"
	"net/http"
	"time"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// The headers that carry positions: what a write answers, a read may demand.
const (
	positionHeader    = "Trunkline-Position"
	minPositionHeader = "Trunkline-Min-Position"
)

// setPosition tells the client where its facts stand.
func setPosition(w http.ResponseWriter, receipts []commands.Receipt) {
	ps := make([]event.Position, 0, len(receipts))
	for _, r := range receipts {
		if r.Position.Topic != "" {
			ps = append(ps, r.Position)
		}
	}
	if token := event.EncodePositions(ps...); token != "" {
		w.Header().Set(positionHeader, token)
	}
}

// awaitPosition holds a read until the read models have what it demands.
func (s *Server) awaitPosition(r *http.Request) error {
	token := r.Header.Get(minPositionHeader)
	if token == "" {
		return nil
	}
	ps, err := event.DecodePositions(token)
	if err != nil {
		return problem(http.StatusBadRequest, "bad-position", "%s is not a position that we answered", minPositionHeader)
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.cfg.PositionWait)
	defer cancel()
	err = s.await(ctx, ps)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.DeadlineExceeded):
		return notThereYet(s.cfg.PositionWait)
	}
	return unread("how far the read models are", err)
}

func notThereYet(waited time.Duration) error {
	return problem(http.StatusGatewayTimeout, "not-there-yet", "the read model did not reach the position within %s", waited).with("Retry-After", "1")
}

// await waits until the Postgres read models have the effect of the positions.
func (s *Server) await(ctx context.Context, ps []event.Position) error {
	if s.cfg.Progress == nil {
		return nil
	}
	return projections.Await(ctx, s.cfg.Progress, ps...)
}
