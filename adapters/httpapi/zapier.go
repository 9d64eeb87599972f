package httpapi

import (
	"encoding/json"
	"net/http"
	"slices"

	"trunkline.dev/trunkline/commands/settings"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

// Zapier's REST hooks (seed 001's "Zapier Integration"): a Zap that is switched
// on subscribes its URL, one that is switched off takes it back, and the editor
// asks for samples.

// subscribeZapier is POST /hooks/zapier.
func (s *Server) subscribeZapier(w http.ResponseWriter, r *http.Request, p Principal) error {
	service, in, err := input[settings.ZapierSubscription](s, r, decode)
	if err != nil {
		return err
	}
	e, err := service.Subscribe(r.Context(), s.caller(r, p), in)
	if err != nil {
		return err
	}
	return respond(w, http.StatusCreated, map[string]string{"id": e.ID})
}

// unsubscribeZapier is DELETE /hooks/zapier/{id}.
func (s *Server) unsubscribeZapier(w http.ResponseWriter, r *http.Request, p Principal) error {
	service, err := s.settled()
	if err != nil {
		return err
	}
	if err := service.Unsubscribe(r.Context(), s.caller(r, p), r.PathValue("id")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

const (
	// samplesWanted is how many of an org's own events Zapier is shown.
	samplesWanted = 3
	// samplesSought bounds the calls that are looked through for them.
	samplesSought = maxLimit
)

// zapierSamples is GET /hooks/zapier/samples: the org's newest webhooks of an
// event, in the shape that hooks get, or a made-up one. Zapier takes an empty
// array for a trigger that does not work.
func (s *Server) zapierSamples(w http.ResponseWriter, r *http.Request, p Principal) error {
	previews, err := s.previewer()
	if err != nil {
		return err
	}
	q := s.query(r, p, "event")
	// What the options of a dialnote webhook need of a call to have happened.
	has := map[string]func(call.Call) bool{
		"call_logs":       func(c call.Call) bool { return c.Ended() },
		"call_recordings": func(c call.Call) bool { return c.Recording != nil },
		"notes":           func(c call.Call) bool { return len(c.Notes) > 0 },
	}
	name := q.oneOf("event", "call_logs", "call_recordings", "notes")
	if name == "" {
		q.wrong("event", "expected call_logs, call_recordings or notes")
	}
	if err := q.err(); err != nil {
		return err
	}
	endpoint := delivery.Endpoint{ID: previewID, Org: p.Org.ID, Dialect: "dialnote", Events: []string{name}, Provider: "zapier", Enabled: true}
	made, err := s.newestOf(r, p, endpoint, has[name])
	if err != nil {
		return err
	}
	if len(made) == 0 {
		sample, err := previews.Sample(endpoint, name)
		if err != nil {
			return unread("samples", err)
		}
		made = []Previewed{sample}
	}
	bodies := make([]json.RawMessage, len(made))
	for i, m := range made {
		bodies[i] = m.Body
	}
	return respond(w, http.StatusOK, bodies)
}

// newestOf returns the newest webhooks that the org's calls made for an
// endpoint, the newest first, one of each call.
func (s *Server) newestOf(r *http.Request, p Principal, e delivery.Endpoint, has func(call.Call) bool) ([]Previewed, error) {
	if s.cfg.Reads == nil {
		return nil, nil
	}
	calls, err := s.cfg.Reads.Calls(r.Context(), p.Org.ID, CallFilter{}, Page{Limit: samplesSought})
	if err != nil {
		return nil, unread("calls", err)
	}
	var all []Previewed
	for _, c := range calls.Items {
		if len(all) == samplesWanted {
			break
		}
		if !has(c.State) {
			continue
		}
		past, err := s.cfg.Reads.History(r.Context(), p.Org.ID, event.Calls, c.State.ID, Page{Limit: maxLimit})
		if err != nil {
			return nil, unread("the history", err)
		}
		events := make([]event.Recorded, len(past.Items))
		for i, e := range past.Items {
			events[i] = e.Recorded
		}
		made, err := s.cfg.Settings.Previewer.Preview(r.Context(), e, events...)
		if err != nil {
			return nil, unread("the read models", err)
		}
		if len(made) > 0 {
			all = append(all, made[len(made)-1])
		}
	}
	slices.SortStableFunc(all, func(a, b Previewed) int { return b.Event.OccurredAt.Compare(a.Event.OccurredAt) })
	return all, nil
}
