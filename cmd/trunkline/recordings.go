package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"trunkline.dev/trunkline/adapters/blob"
	"trunkline.dev/trunkline/adapters/postgres/readmodel"
	recordingrows "trunkline.dev/trunkline/adapters/postgres/recordings"
	"trunkline.dev/trunkline/adapters/upstream"
	"trunkline.dev/trunkline/adapters/webhooks"
	"trunkline.dev/trunkline/commands/recordings"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/recording"
	"trunkline.dev/trunkline/projections"
)

// startRecordings opens the blob store; where the role says so it also follows
// the log, fetches what is announced and deletes what is over.
func (a *app) startRecordings(ctx context.Context) error {
	blobs, err := blob.Open(ctx, a.cfg.blobURL())
	if err != nil && a.cfg.BlobURL != "" {
		return misused{fmt.Errorf("TRUNKLINE_BLOB_URL: %w", err)}
	}
	if err != nil {
		return fmt.Errorf("TRUNKLINE_DATA_DIR: %w", err)
	}
	a.onStop("blob store", func(context.Context) error { return blobs.Close() })
	source, err := upstream.New(upstream.Config{Guard: a.guard, Version: version})
	if err != nil {
		return err
	}
	a.onStop("connections to recordings", func(context.Context) error { source.Close(); return nil })
	rows, err := recordingrows.New(recordingrows.Config{
		Pool: a.pool, Log: a.events, Ends: a.broker, Logger: a.log, Patience: a.cfg.SettleRecording, Owner: hostOwner(),
	})
	if err != nil {
		return err
	}
	a.recordings, err = recordings.New(recordings.Config{
		Jobs: rows, Catalogue: rows, Blobs: blobs, Fetcher: source, Lists: directory{a.settings.Directory()}, Keys: directory{a.settings.Directory()},
		Calls: callLists{a.reader}, Known: a.recorder, Log: a.events, PublicURL: a.cfg.PublicURL, Logger: a.log,
	})
	if err != nil || !a.cfg.has("projector") {
		return err
	}
	if err := a.recordings.Start(ctx); err != nil {
		return err
	}
	a.onStop("recordings", a.recordings.Stop)
	runner, err := projections.NewRunner(projections.RunnerConfig{
		Projection: recordingrows.Name, Generation: projections.Generation{Number: 1, Status: projections.Live},
		Topics: []event.Topic{event.Calls}, Source: a.source, Applier: rows, Pace: projections.StreamPace, Log: a.log, Now: time.Now,
	})
	if err != nil {
		return err
	}
	if err := runner.Start(ctx); err != nil {
		return err
	}
	a.onStop("recordings' runner", runner.Stop)
	return nil
}

// LinkKey is the key that signs the links of an org's recordings.
func (d directory) LinkKey(org string) ([]byte, bool) {
	o, ok := d.Org(org)
	if !ok {
		return nil, false
	}
	return recording.LinkKey(o.Secret), true
}

// Retentions are the lists that keep recordings for a time only, those too that were
// deleted.
func (d directory) Retentions() []recordings.Retention {
	var out []recordings.Retention
	now := d.Snapshot()
	for _, l := range now.AllLists() {
		if l.RecordingRetentionDays > 0 {
			out = append(out, recordings.Retention{Org: l.Org, ListID: l.ID, Days: l.RecordingRetentionDays})
		}
	}
	for _, l := range now.FormerLists() {
		out = append(out, recordings.Retention{Org: l.Org, ListID: l.ID, Days: l.RecordingRetentionDays})
	}
	return out
}

// callLists finds the lists of calls in the read model.
type callLists struct{ reader *readmodel.Reader }

// ListOf returns the list of a call, false while its beginning is not known.
func (c callLists) ListOf(ctx context.Context, org, callID string) (string, bool, error) {
	item, err := c.reader.Call(ctx, org, callID)
	if errors.Is(err, projections.ErrNotFound) {
		return "", false, nil
	}
	return item.State.ListID, err == nil && item.State.StartedAt != nil, err
}

// recordingLink is where a receiver fetches the recording that a view is about:
// from us, by a link that lives 72 hours from when the event was recorded. It
// follows from the view, so the same event rendered again carries the same link.
func (a *app) recordingLink(v delivery.View) (string, time.Time) {
	id := ""
	switch p := v.Payload.(type) {
	case call.RecordingStored:
		id = p.RecordingID
	case call.RecordingDelayed:
		id = p.RecordingID
	default:
		if k := v.Call.Copy; k != nil && k.State != call.CopyDeleted {
			id = k.ID
		}
	}
	if id == "" {
		return "", time.Time{}
	}
	return a.recordings.Link(v.OrgID, id, v.Event.RecordedAt)
}

// reviving makes the links in a webhook that is sent late or again live as long
// as fresh ones: its bytes stay what they were.
type reviving struct {
	webhooks.Attempter
	recordings *recordings.Service
	publicURL  string
	log        *slog.Logger
}

// Attempt revives links and makes the attempt. A webhook is not held back by a
// link that could not be revived.
func (r reviving) Attempt(ctx context.Context, req webhooks.Request) webhooks.Result {
	r.reviveIn(ctx, req.Org, req.EntityID, req.Body)
	return r.Attempter.Attempt(ctx, req)
}

// reviveIn revives the links in what is sent about an entity of an org, each once
// however often the text has it.
func (r reviving) reviveIn(ctx context.Context, org, entityID string, body []byte) {
	done := make(map[recording.Link]bool)
	for _, l := range recording.LinksIn(body, r.publicURL) {
		if done[l] {
			continue
		}
		done[l] = true
		if err := r.revive(ctx, org, entityID, l); err != nil {
			r.log.WarnContext(ctx, "a link to a recording is not revived", slog.String("recording", l.RecordingID), slog.Any("err", err))
		}
	}
}

func (a *app) reviving(attempts webhooks.Attempter) reviving {
	return reviving{attempts, a.recordings, a.cfg.PublicURL, a.log}
}

// revivePatience bounds what a link may take of the time for an attempt.
const revivePatience = time.Second

func (r reviving) revive(ctx context.Context, org, callID string, l recording.Link) error {
	ctx, cancel := context.WithTimeout(ctx, revivePatience)
	defer cancel()
	return r.recordings.Revive(ctx, org, callID, l)
}
