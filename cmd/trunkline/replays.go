package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// replayCommand sends events of the past again, from a running hub, over its
// API. Exit codes: 0 all was done, 1 it failed or was aborted, 2 called wrongly,
// 3 the replay came to its end and some deliveries did not.
type replayCommand struct {
	Plan   replayPlan   `cmd:"" help:"Tell what a replay would send, and what would differ from what was sent then. Sends nothing."`
	Run    replayRun    `cmd:"" help:"Send again what a scope of the past makes. Exit code 3 when the replay has ended and some deliveries were not delivered."`
	List   replayList   `cmd:"" help:"List replays, the newest first."`
	Pause  replayPause  `cmd:"" help:"Let a replay hand nothing more over."`
	Resume replayResume `cmd:"" help:"Let a paused replay go on."`
	Abort  replayAbort  `cmd:"" help:"End a replay and drop what it has not sent."`
	Report replayReport `cmd:"" help:"Show how a replay goes, or went. Exit codes as run."`
}

// replayState is a replay in the API's words.
type replayState struct {
	ID         string   `json:"id"`
	Kind       string   `json:"kind"`
	State      string   `json:"state"`
	Detail     *string  `json:"detail"`
	WebhookID  *string  `json:"webhook_id"`
	URL        *string  `json:"url"`
	RatePerSec *float64 `json:"rate_per_sec"`
	CreatedAt  string   `json:"created_at"`
	Secret     string   `json:"secret"`
	Progress   struct {
		Done       int64 `json:"done"`
		Total      int64 `json:"total"`
		Events     int64 `json:"events"`
		Deliveries int64 `json:"deliveries"`
		Filtered   int64 `json:"filtered"`
		Unfinished int64 `json:"unfinished"`
	} `json:"progress"`
}

// ended reports whether nothing more becomes of it.
func (r replayState) ended() bool { return r.State == "finished" || r.State == "aborted" }

func (r replayState) target() string {
	switch {
	case r.URL != nil:
		return *r.URL
	case r.WebhookID != nil:
		return *r.WebhookID
	}
	return "–"
}

type replayRun struct {
	replayScope
	NoWait   bool          `help:"Begin only: the hub goes on by itself."`
	JSON     bool          `name:"json" help:"Print the API's report, and no progress."`
	Every    time.Duration `default:"500ms" hidden:"" help:"How often to ask the hub while waiting."`
	Patience time.Duration `default:"1m" hidden:"" help:"How long the hub may be away while waiting."`
}

// errUndelivered makes the exit code of a replay that came to its end although
// some of its deliveries did not.
var errUndelivered = coded{errors.New("some deliveries were not delivered"), 3}

// Run begins a replay and sees it to its end.
func (c replayRun) Run(ctx context.Context, s streams) error {
	op, _, err := newOperator()
	if err != nil {
		return err
	}
	body, err := c.body(false)
	if err != nil {
		return err
	}
	var begun replayState
	raw, err := ask(ctx, op, http.MethodPost, "/v1/replays", body, &begun)
	if err != nil {
		return err
	}
	// It is told once; with --no-wait --json it stands in the answer.
	if begun.Secret != "" && c.Secret == "" && (!c.NoWait || !c.JSON) {
		fmt.Fprintf(s.err, "signed with %s\n", begun.Secret)
	}
	if c.NoWait {
		if c.JSON {
			return printRaw(s.out, raw)
		}
		_, err := fmt.Fprintf(s.out, "replay %s has begun; see: trunkline replay report %s\n", begun.ID, begun.ID)
		return err
	}
	seen := newReplayPace()
	show := showProgress(s.err, c.JSON, seen.progress(begun))
	w := waiting{what: "replay " + begun.ID, path: pathOf("replays", begun.ID, ""), every: c.Every, patience: c.Patience}
	_, err = await(ctx, op, w, func(r replayState) (bool, error) {
		show.update(seen.progress(r))
		return r.ended(), nil
	})
	show.end(err == nil)
	if err != nil {
		return err
	}
	return replayReport{ID: begun.ID, JSON: c.JSON}.Run(ctx, s)
}

// replayPace measures how fast a replay ends deliveries.
type replayPace struct {
	since time.Time
	from  int64
	first bool
}

func newReplayPace() *replayPace { return &replayPace{first: true} }

// progress is how far a replay is, by what it has read; what is still to be
// sent of that is said beside it.
func (p *replayPace) progress(r replayState) progressState {
	ended := r.Progress.Deliveries - r.Progress.Unfinished
	if p.first {
		p.since, p.from, p.first = time.Now(), ended, false
	}
	s := progressState{title: "replay " + r.ID, stage: r.State, done: r.Progress.Done, total: r.Progress.Total, unit: "records"}
	if detail := deref(r.Detail); detail != "" {
		s.stage += " (" + detail + ")"
	}
	s.pace = fmt.Sprintf("%d of %d deliveries ended", ended, r.Progress.Deliveries)
	if took := time.Since(p.since).Seconds(); took > 0.5 && ended > p.from {
		s.pace += fmt.Sprintf(", %.0f/s", float64(ended-p.from)/took)
	}
	return s
}

type replayReport struct {
	ID   string `arg:"" help:"Id of the replay, as in list."`
	JSON bool   `name:"json" help:"Print the API's answer."`
}

// Run prints how a replay went.
func (c replayReport) Run(ctx context.Context, s streams) error {
	var r struct {
		Replay   replayState      `json:"replay"`
		Counts   map[string]int64 `json:"counts"`
		Failures []struct {
			Status     string `json:"status"`
			Reason     string `json:"reason"`
			Count      int64  `json:"count"`
			DeliveryID string `json:"delivery_id"`
		} `json:"failures"`
		DurationSec   float64 `json:"duration_sec"`
		FirstPosition *string `json:"first_position"`
		LastPosition  *string `json:"last_position"`
	}
	q := question{method: http.MethodGet, path: pathOf("replays", c.ID, "report"), json: c.JSON}
	err := show(ctx, s, q, &r, func() error {
		fmt.Fprintf(s.out, "replay %s to %s: %s after %s\n", r.Replay.ID, r.Replay.target(), strings.TrimSpace(r.Replay.State+" "+deref(r.Replay.Detail)), age(r.DurationSec))
		p := r.Replay.Progress
		fmt.Fprintf(s.out, "%d events, %d deliveries, %d events of which nothing is owed\n", p.Events, p.Deliveries, p.Filtered)
		for _, k := range []string{"delivered", "exhausted", "dropped", "held", "pending"} {
			if n := r.Counts[k]; n > 0 {
				fmt.Fprintf(s.out, "%8d %s\n", n, k)
			}
		}
		if r.FirstPosition != nil && r.LastPosition != nil {
			fmt.Fprintf(s.out, "from %s to %s\n", *r.FirstPosition, *r.LastPosition)
		}
		for _, f := range r.Failures {
			fmt.Fprintf(s.out, "  %d × %s: %s (one is %s)\n", f.Count, f.Status, f.Reason, f.DeliveryID)
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case r.Replay.State == "aborted":
		return fmt.Errorf("replay %s was aborted", c.ID)
	case r.Replay.State == "finished" && r.Counts["exhausted"]+r.Counts["dropped"] > 0:
		return errUndelivered
	}
	return nil
}

type replayList struct {
	Limit int  `default:"20" help:"How many."`
	JSON  bool `name:"json" help:"Print the API's answers."`
}

// Run prints one line for each replay.
func (c replayList) Run(ctx context.Context, s streams) error {
	l := listing[replayState]{path: "/v1/replays", limit: c.Limit, json: c.JSON, columns: "ID\tKIND\tSTATE\tTARGET\tDELIVERIES\tREAD\tCREATED\tDETAIL"}
	return l.print(ctx, s, func(t io.Writer, r replayState) {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%d/%d\t%s\t%s\n", r.ID, r.Kind, r.State, r.target(), r.Progress.Deliveries, r.Progress.Done, r.Progress.Total, r.CreatedAt, deref(r.Detail))
	})
}

// replayDecision is what the three decisions have in common.
type replayDecision struct {
	ID     string `arg:"" help:"Id of the replay, as in list."`
	Reason string `placeholder:"TEXT" help:"Why; kept."`
	JSON   bool   `name:"json" help:"Print the API's answer."`
}

type replayPause struct{ replayDecision }

// Run pauses a replay.
func (c replayPause) Run(ctx context.Context, s streams) error { return c.decide(ctx, s, "pause") }

type replayResume struct{ replayDecision }

// Run lets a replay go on.
func (c replayResume) Run(ctx context.Context, s streams) error { return c.decide(ctx, s, "resume") }

type replayAbort struct{ replayDecision }

// Run aborts a replay.
func (c replayAbort) Run(ctx context.Context, s streams) error { return c.decide(ctx, s, "abort") }

func (c replayDecision) decide(ctx context.Context, s streams, action string) error {
	var after replayState
	q := question{method: http.MethodPost, path: pathOf("replays", c.ID, action), body: reasonBody(c.Reason), json: c.JSON}
	return show(ctx, s, q, &after, func() error {
		_, err := fmt.Fprintf(s.out, "replay %s is %s\n", after.ID, after.State)
		return err
	})
}

func reasonBody(reason string) any {
	if reason == "" {
		return nil
	}
	return map[string]string{"reason": reason}
}
