package simulate

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"time"
)

// agent is one person's day: log in, take and make calls, wrap up, pause, log
// out. Times and shares are those of an ordinary outbound floor.
type agent struct {
	d     *day
	rnd   *rand.Rand
	id    string
	name  string
	email string
	now   time.Time // the agent's own place in the day
	late  sync.WaitGroup
	fail  func(error)
}

const (
	meanTalk    = 150 * time.Second
	meanWrapUp  = 35 * time.Second
	meanRing    = 14 * time.Second
	meanIdle    = 20 * time.Second
	answerShare = 0.55
)

func newAgent(d *day, i int, rnd *rand.Rand) *agent {
	return &agent{
		d: d, rnd: rnd, id: fmt.Sprintf("agent-%04d", i), name: fmt.Sprintf("Agent %d", i), email: fmt.Sprintf("agent%d@example.com", i),
		now: d.clock.dayStart.Add(time.Duration(rnd.Float64() * float64(4*time.Minute))),
	}
}

func (a *agent) work(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	a.fail = cancel
	defer a.late.Wait()
	end := a.d.clock.dayStart.Add(time.Duration(a.d.o.Hours * float64(time.Hour))).Add(-2 * time.Minute)
	if err := a.state(ctx, "logged_in", ""); err != nil {
		return err
	}
	nextPause := a.now.Add(a.about(75 * time.Minute))
	for a.now.Before(end) {
		if a.now.After(nextPause) {
			if err := a.pause(ctx); err != nil {
				return err
			}
			nextPause = a.now.Add(a.about(75 * time.Minute))
		}
		if err := a.call(ctx); err != nil {
			return err
		}
		a.now = a.now.Add(a.about(meanIdle))
		if err := a.sometimes(ctx); err != nil {
			return err
		}
	}
	if err := a.state(ctx, "logged_out", ""); err != nil {
		return err
	}
	a.late.Wait()
	return context.Cause(ctx)
}

// about draws an exponential time around a mean, within sense.
func (a *agent) about(mean time.Duration) time.Duration {
	return time.Duration(math.Min(6, a.rnd.ExpFloat64()) * float64(mean))
}

func (a *agent) chance(p float64) bool { return a.rnd.Float64() < p }

func (a *agent) pick(words ...string) string { return words[a.rnd.IntN(len(words))] }

func (a *agent) state(ctx context.Context, state, reason string) error {
	if err := a.d.clock.until(ctx, a.now); err != nil {
		return err
	}
	body := map[string]any{"state": state, "name": a.name, "email": a.email, "campaign": "Q1-Sales", "at": a.now.UTC()}
	if reason != "" {
		body["reason"] = reason
	}
	if err := a.d.api.post(ctx, "/v1/agents/"+a.id+"/state", body, nil); err != nil {
		return err
	}
	a.d.ledger.add("agents", a.id, 1)
	return nil
}

func (a *agent) pause(ctx context.Context) error {
	if err := a.state(ctx, "paused", a.pick("break", "lunch", "coaching")); err != nil {
		return err
	}
	a.now = a.now.Add(3*time.Minute + a.about(8*time.Minute))
	return a.state(ctx, "resumed", "")
}

// call is one call from the dial tone to the wrap-up. What other systems add
// later (recording, transcript, a late disposition) comes in its own time.
func (a *agent) call(ctx context.Context) error {
	phone := fmt.Sprintf("+1415555%04d", a.rnd.IntN(10000))
	if a.chance(0.3) {
		if err := a.lead(ctx, phone); err != nil {
			return err
		}
	}
	direction, from, to := "outbound", "+14143756757", phone
	if a.chance(0.25) {
		direction, from, to = "inbound", phone, "+14143756757"
	}
	started := a.now
	if err := a.d.clock.until(ctx, started); err != nil {
		return err
	}
	var made struct {
		ID string `json:"id"`
	}
	err := a.d.api.post(ctx, "/v1/calls", map[string]any{
		"direction": direction, "from": from, "to": to, "list_id": a.d.listID, "campaign": "Q1-Sales", "started_at": started.UTC(),
		"agent": map[string]any{"id": a.id, "name": a.name, "email": a.email}, "custom": map[string]any{"queue": a.pick("sales", "service")},
	}, &made)
	if err != nil {
		return err
	}
	a.d.ledger.add("calls", made.ID, 1)
	answered := a.chance(answerShare)
	at := started.Add(2*time.Second + a.about(meanRing))
	end := at
	status := a.pick("no_answer", "busy", "voicemail")
	if answered {
		if err := a.update(ctx, made.ID, at, 1, map[string]any{"answered_at": at.UTC()}); err != nil {
			return err
		}
		end, status = at.Add(8*time.Second+a.about(meanTalk)), "completed"
	}
	if err := a.update(ctx, made.ID, end, 1, map[string]any{"ended_at": end.UTC(), "status": status}); err != nil {
		return err
	}
	a.d.ledger.ended(made.ID)
	a.now = end.Add(a.about(meanWrapUp))
	return a.wrapUp(ctx, made.ID, end, answered)
}

func (a *agent) wrapUp(ctx context.Context, id string, end time.Time, answered bool) error {
	disposition := a.pick("NO_ANSWER", "CALLBACK")
	if answered {
		disposition = a.pick("SALE", "Interested", "Not interested", "CALLBACK", "DNC")
	}
	undisposed := a.chance(0.02) // somebody always forgets
	lateDisposition := a.chance(0.1)
	if answered && a.chance(0.4) {
		if err := a.update(ctx, id, a.now, 1, map[string]any{"note": a.pick("Wants a call on Monday.", "Asked for <b>the price</b> & terms.", "Speaks Español, señor Núñez.", "Left a message 🙂")}); err != nil {
			return err
		}
	}
	if !undisposed && !lateDisposition {
		if err := a.dispose(ctx, id, a.now, disposition); err != nil {
			return err
		}
	}
	if !answered && (undisposed || !lateDisposition) {
		return nil
	}
	recordingAt, transcriptAt, disposedAt := end.Add(20*time.Second+a.about(40*time.Second)), end.Add(2*time.Minute+a.about(3*time.Minute)), end.Add(5*time.Minute+a.about(10*time.Minute))
	recorded, transcribed := answered && a.chance(0.8), answered && a.chance(0.5)
	a.late.Go(func() {
		if err := a.afterwards(ctx, id, recorded, transcribed, lateDisposition && !undisposed, recordingAt, transcriptAt, disposedAt, disposition); err != nil {
			a.fail(err)
		}
	})
	return nil
}

func (a *agent) afterwards(ctx context.Context, id string, recorded, transcribed, disposed bool, recordingAt, transcriptAt, disposedAt time.Time, disposition string) error {
	if recorded {
		err := a.update(ctx, id, recordingAt, 1, map[string]any{"recording": map[string]any{"url": "https://recordings.example.com/" + id + ".mp3", "format": "mp3", "expires_at": recordingAt.Add(72 * time.Hour).UTC()}})
		if err != nil {
			return err
		}
	}
	if transcribed {
		err := a.update(ctx, id, transcriptAt, 2, map[string]any{
			"transcript": "Rep: Hello, this is Jane.<br>Prospect: Hey.<br>", "summary": "They said hello.", "one_sentence_summary": "A greeting.",
		})
		if err != nil {
			return err
		}
	}
	if disposed {
		return a.dispose(ctx, id, disposedAt, disposition)
	}
	return nil
}

func (a *agent) dispose(ctx context.Context, id string, at time.Time, disposition string) error {
	if err := a.update(ctx, id, at, 1, map[string]any{"disposition": disposition}); err != nil {
		return err
	}
	a.d.ledger.disposed(id)
	return nil
}

func (a *agent) update(ctx context.Context, id string, at time.Time, events int, body map[string]any) error {
	if err := a.d.clock.until(ctx, at); err != nil {
		return err
	}
	if err := a.d.api.patch(ctx, "/v1/calls/"+id, body); err != nil {
		return err
	}
	a.d.ledger.add("calls", id, events)
	return nil
}

func (a *agent) lead(ctx context.Context, phone string) error {
	if err := a.d.clock.until(ctx, a.now); err != nil {
		return err
	}
	var answer struct {
		Leads []struct {
			ID string `json:"id"`
		} `json:"leads"`
	}
	err := a.d.api.post(ctx, "/v1/leads", map[string]any{
		"phone": phone, "name": "John Smith", "company": a.pick("Acme Corp", "Umbrella", "Initech"), "city": "Miami", "state": "FL",
		"custom_fields": map[string]any{"Revenue": a.pick("$5M", "$10M"), "Industry": "SaaS"}, "list_id": a.d.listID,
	}, &answer)
	if err != nil {
		return err
	}
	if len(answer.Leads) != 1 {
		return fmt.Errorf("POST /v1/leads: expected one lead in the answer, got %d", len(answer.Leads))
	}
	a.d.ledger.add("leads", answer.Leads[0].ID, 1)
	return nil
}

// sometimes is what happens beside calls: a text message, an alert.
func (a *agent) sometimes(ctx context.Context) error {
	var made struct {
		ID string `json:"id"`
	}
	if a.chance(0.03) {
		err := a.d.api.post(ctx, "/v1/messages", map[string]any{"direction": "outbound", "type": "SMS", "content": "See you on Monday.", "from": "+14143756757", "to": "+14155550100", "sent_at": a.now.UTC()}, &made)
		if err != nil {
			return err
		}
		a.d.ledger.add("messages", made.ID, 1)
	}
	if a.chance(0.005) {
		err := a.d.api.post(ctx, "/v1/alerts", map[string]any{"rule": "queue too deep", "metric": "queue_depth", "condition": ">", "threshold": 10, "value": 11 + a.rnd.IntN(20), "severity": "warning", "campaign": "Q1-Sales"}, &made)
		if err != nil {
			return err
		}
		a.d.ledger.add("alerts", made.ID, 1)
		if err := a.d.api.post(ctx, "/v1/alerts/"+made.ID+"/acknowledge", map[string]any{"note": "on it"}, nil); err != nil {
			return err
		}
		a.d.ledger.add("alerts", made.ID, 1)
	}
	return nil
}
