package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// recordingsCommand operates the recordings of a running hub over its API.
type recordingsCommand struct {
	List    recordingsList    `cmd:"" help:"List recordings, the newest first."`
	Show    recordingsShow    `cmd:"" help:"Show one recording."`
	Fetch   recordingsFetch   `cmd:"" help:"Ask its source for a recording now."`
	Verify  recordingsVerify  `cmd:"" help:"Hash stored recordings again and compare them with the log. Exit code 1 when one is damaged or cannot be read."`
	Hold    recordingsHold    `cmd:"" help:"Forbid to delete a recording (legal hold)."`
	Release recordingsRelease `cmd:"" help:"End a hold."`
}

// recordingState is a recording in the API's words.
type recordingState struct {
	ID          string     `json:"id"`
	CallID      string     `json:"call_id"`
	State       string     `json:"state"`
	URL         *string    `json:"url"`
	SHA256      *string    `json:"sha256"`
	Bytes       *int64     `json:"bytes"`
	ContentType *string    `json:"content_type"`
	DurationSec *float64   `json:"duration_sec"`
	AnnouncedAt time.Time  `json:"announced_at"`
	FetchedAt   *time.Time `json:"fetched_at"`
	DeletedAt   *time.Time `json:"deleted_at"`
	Source      *struct {
		URL       string     `json:"url"`
		ExpiresAt time.Time  `json:"expires_at"`
		Attempts  int        `json:"attempts"`
		LastError *string    `json:"last_error"`
		Next      *time.Time `json:"next_attempt_at"`
	} `json:"source"`
	RetentionDays *int `json:"retention_days"`
	Hold          *struct {
		Reason *string `json:"reason"`
	} `json:"hold"`
}

// eachRecording calls each for every page of recordings in a state; "" is any.
func eachRecording(ctx context.Context, op *operator, state, call string, each func(raw json.RawMessage, page []recordingState) error) error {
	return eachPage(ctx, op, func(cursor string) string {
		q := url.Values{"limit": {"200"}}
		for name, v := range map[string]string{"state": state, "call_id": call, "cursor": cursor} {
			if v != "" {
				q.Set(name, v)
			}
		}
		return "/v1/recordings?" + q.Encode()
	}, each)
}

type recordingsList struct {
	State string `enum:",pending,stored,failed,deleting,deleted" default:"" help:"Only those in this state: pending, stored, failed, deleting or deleted."`
	Call  string `placeholder:"ID" help:"Only those of this call."`
	JSON  bool   `name:"json" help:"Print the API's answers."`
}

// Run prints one line for each recording.
func (c recordingsList) Run(ctx context.Context, s streams) error {
	op, _, err := newOperator()
	if err != nil {
		return err
	}
	t := table(s.out)
	if !c.JSON {
		fmt.Fprintln(t, "RECORDING\tCALL\tSTATE\tBYTES\tANNOUNCED\tATTEMPTS\tNEXT\tHELD\tERROR")
	}
	err = eachRecording(ctx, op, c.State, c.Call, func(raw json.RawMessage, page []recordingState) error {
		if c.JSON {
			return printRaw(s.out, raw)
		}
		for _, r := range page {
			attempts, next, problem, held := "–", "–", "", ""
			if r.Source != nil {
				attempts, problem = fmt.Sprint(r.Source.Attempts), deref(r.Source.LastError)
				if r.Source.Next != nil {
					next = r.Source.Next.Format(time.RFC3339)
				}
			}
			if r.Hold != nil {
				held = "held"
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.ID, r.CallID, r.State, orDash(r.Bytes), r.AnnouncedAt.Format(time.RFC3339), attempts, next, held, problem)
		}
		return nil
	})
	return errors.Join(err, t.Flush())
}

type recordingsShow struct {
	ID   string `arg:"" help:"Id of the recording, as in list."`
	JSON bool   `name:"json" help:"Print the API's answer."`
}

// Run prints what is to be known of a recording.
func (c recordingsShow) Run(ctx context.Context, s streams) error {
	return changeRecording(ctx, s, http.MethodGet, c.ID, "", nil, c.JSON)
}

type recordingsFetch struct {
	ID   string `arg:"" help:"Id of the recording, as in list."`
	JSON bool   `name:"json" help:"Print the API's answer."`
}

// Run asks the source now.
func (c recordingsFetch) Run(ctx context.Context, s streams) error {
	return changeRecording(ctx, s, http.MethodPost, c.ID, "fetch", nil, c.JSON)
}

type recordingsHold struct {
	ID     string `arg:"" help:"Id of the recording, as in list."`
	Reason string `placeholder:"TEXT" help:"Why; kept."`
	JSON   bool   `name:"json" help:"Print the API's answer."`
}

// Run holds a recording.
func (c recordingsHold) Run(ctx context.Context, s streams) error {
	return changeRecording(ctx, s, http.MethodPost, c.ID, "hold", map[string]string{"reason": c.Reason}, c.JSON)
}

type recordingsRelease struct {
	ID     string `arg:"" help:"Id of the recording, as in list."`
	Reason string `placeholder:"TEXT" help:"Why; kept."`
	JSON   bool   `name:"json" help:"Print the API's answer."`
}

// Run ends a hold.
func (c recordingsRelease) Run(ctx context.Context, s streams) error {
	return changeRecording(ctx, s, http.MethodDelete, c.ID, "hold", map[string]string{"reason": c.Reason}, c.JSON)
}

// changeRecording makes a call about one recording and shows it.
func changeRecording(ctx context.Context, s streams, method, id, action string, body any, asJSON bool) error {
	var r recordingState
	q := question{method: method, path: pathOf("recordings", id, action), body: body, json: asJSON}
	return show(ctx, s, q, &r, func() error {
		return r.show(s.out)
	})
}

// show prints a line for each thing that is known.
func (r recordingState) show(w io.Writer) error {
	t := table(w)
	line := func(name, value string) {
		if value != "" && value != "–" {
			fmt.Fprintf(t, "%s\t%s\n", name, value)
		}
	}
	line("recording", r.ID)
	line("call", r.CallID)
	line("state", r.State)
	line("sha256", deref(r.SHA256))
	line("bytes", orDash(r.Bytes))
	line("content type", deref(r.ContentType))
	line("seconds", orDash(r.DurationSec))
	line("announced", r.AnnouncedAt.Format(time.RFC3339))
	when := func(name string, at *time.Time) {
		if at != nil {
			line(name, at.Format(time.RFC3339))
		}
	}
	when("fetched", r.FetchedAt)
	when("deleted", r.DeletedAt)
	if r.Source != nil {
		line("source", r.Source.URL)
		line("source's link ends", r.Source.ExpiresAt.Format(time.RFC3339))
		line("attempts", fmt.Sprint(r.Source.Attempts))
		line("last error", deref(r.Source.LastError))
		when("next attempt", r.Source.Next)
	}
	if r.RetentionDays != nil {
		line("kept for", fmt.Sprintf("%d days", *r.RetentionDays))
	}
	if r.Hold != nil {
		line("held", "yes: "+deref(r.Hold.Reason))
	}
	line("link", deref(r.URL))
	return t.Flush()
}

type recordingsVerify struct {
	IDs  []string `arg:"" name:"id" optional:"" help:"Ids of recordings; all that are stored if there are none."`
	JSON bool     `name:"json" help:"Print the API's answers, and no progress."`
}

// The errors that make the exit code of recordings that are not known to be intact.
var (
	errDamaged = errors.New("recordings are damaged")
	errUnread  = errors.New("recordings could not be read")
)

// unreadInARow is how many recordings in a row the hub may fail to read before no more
// are asked for: one is that recording's trouble, ten are the store's.
const unreadInARow = 10

// soundness is what the hub says of the bytes of a recording.
type soundness struct {
	Intact bool    `json:"intact"`
	Bytes  int64   `json:"bytes"`
	Reason *string `json:"reason"`
}

// tally counts what was verified.
type tally struct {
	verified, damaged, unread int
	// failing counts those in a row that could not be read.
	failing int
	bytes   int64
}

func (t tally) String() string {
	text := fmt.Sprintf("%d recordings, %d bytes: %d intact, %d damaged", t.verified, t.bytes, t.verified-t.damaged, t.damaged)
	if t.unread > 0 {
		text += fmt.Sprintf("; %d could not be read", t.unread)
	}
	return text
}

func (t tally) err() error {
	switch {
	case t.damaged > 0:
		return errDamaged
	case t.unread > 0:
		return errUnread
	}
	return nil
}

// Run hashes recordings one after another and names those that are damaged.
func (c recordingsVerify) Run(ctx context.Context, s streams) error {
	op, _, err := newOperator()
	if err != nil {
		return err
	}
	op.http = &http.Client{} // every byte is read: as long as it takes
	ids := c.IDs
	if len(ids) == 0 {
		if err := eachRecording(ctx, op, "stored", "", func(_ json.RawMessage, page []recordingState) error {
			for _, r := range page {
				ids = append(ids, r.ID)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	progress := c.progress(s.err, len(ids))
	var t tally
	for _, id := range ids {
		if err := c.verify(ctx, op, s, id, &t); err != nil {
			progress.end(false)
			return fmt.Errorf("verifying %s: %w", id, err)
		}
		progress.step()
	}
	progress.end(true)
	if !c.JSON {
		fmt.Fprintln(s.out, t)
	}
	return t.err()
}

// verify asks for one recording. What cannot be read is named and counted; an error is
// for what will be no better with the next one.
func (c recordingsVerify) verify(ctx context.Context, op *operator, s streams, id string, t *tally) error {
	var v soundness
	raw, err := ask(ctx, op, http.MethodPost, pathOf("recordings", id, "verify"), nil, &v)
	refused, answered := errors.AsType[*apiError](err)
	switch {
	case len(c.IDs) == 0 && noLongerStored(err):
		return nil
	case answered && refused.Status >= http.StatusInternalServerError && t.failing+1 < unreadInARow:
		t.unread++
		t.failing++
		to := s.out
		if c.JSON {
			to = s.err
		}
		fmt.Fprintf(to, "%s  UNREAD   %v\n", id, err)
		return nil
	case err != nil:
		return err
	}
	t.failing = 0
	t.verified++
	t.bytes += v.Bytes
	if c.JSON {
		if err := printRaw(s.out, raw); err != nil {
			return err
		}
	}
	if v.Intact {
		return nil
	}
	t.damaged++
	if !c.JSON {
		fmt.Fprintf(s.out, "%s  DAMAGED  %s\n", id, deref(v.Reason))
	}
	return nil
}

// noLongerStored reports whether a recording that was in the list has been deleted,
// or announced anew, since.
func noLongerStored(err error) bool {
	refused, ok := errors.AsType[*apiError](err)
	return ok && (refused.Status == http.StatusGone || refused.Status == http.StatusConflict)
}

// verifyProgress shows how many recordings are verified.
type verifyProgress struct {
	step func()
	end  func(good bool)
}

// progress is a bar on a terminal, nothing elsewhere: the report follows.
func (c recordingsVerify) progress(w io.Writer, total int) verifyProgress {
	if c.JSON || total == 0 || !isTerminal(w) {
		return verifyProgress{step: func() {}, end: func(bool) {}}
	}
	bars := mpb.New(mpb.WithOutput(w), mpb.WithWidth(64), mpb.WithAutoRefresh())
	bar := bars.AddBar(int64(total),
		mpb.PrependDecorators(decor.Name("verifying "), decor.CountersNoUnit("%d / %d")),
		mpb.AppendDecorators(decor.Percentage(), decor.Name("  "), decor.AverageETA(decor.ET_STYLE_GO)),
	)
	return verifyProgress{step: bar.Increment, end: func(good bool) {
		if !good {
			bar.Abort(false)
		}
		bars.Wait()
	}}
}
