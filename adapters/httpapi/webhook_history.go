package httpapi

import (
	"errors"
	"net/http"

	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// webhookHistory is GET /v1/webhooks/{id}/history: what the hub said of a
// webhook, oldest first. Of most it never said anything.
func (s *Server) webhookHistory(w http.ResponseWriter, r *http.Request, p Principal) error {
	e, err := s.endpointOf(r, p)
	if err != nil {
		return err
	}
	return readList(s, w, s.query(r, p, paged()...), func(reads Reads, page Page) (List[Past], error) {
		list, err := reads.History(r.Context(), p.Org.ID, event.Operations, e.ID, page)
		if errors.Is(err, projections.ErrNotFound) {
			err = nil
		}
		return list, err
	}, pastOf)
}
