package recordings

import (
	"fmt"
	"time"

	"trunkline.dev/trunkline/domain/alert"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/recording"
)

// The hub's own facts of a recording. Their ids derive from it, so whoever says
// them and however often, readers see them once. The origin is that of the
// announcement: a backfilled call's recording triggers no webhook.

func fact(r recording.Recording, id, subject string, now time.Time, p event.Payload) (event.Event, error) {
	return event.New(event.Envelope{
		ID: id, Source: "hub", Subject: subject, Org: r.Org, CorrelationID: r.Announced.CorrelationID, CausationID: r.Announced.EventID,
		Origin: r.Announced.Origin, OccurredAt: now, RecordedAt: now,
	}, p)
}

func storedFact(r recording.Recording, p call.RecordingStored) (event.Event, error) {
	return fact(r, event.DeriveID("recording stored", r.ID), r.CallID, p.StoredAt, p)
}

func delayedFact(r recording.Recording, now time.Time) (event.Event, error) {
	return fact(r, event.DeriveID("recording delayed", r.ID), r.CallID, now, call.RecordingDelayed{
		RecordingID: r.ID, SourceID: r.SourceID, AfterSec: int64(r.DelayDue.Sub(r.Announced.RecordedAt) / time.Second),
	})
}

// failedFact has the number of attempts in its id: a recording that was given up
// may be asked for again by hand, and fail again.
func failedFact(r recording.Recording, now time.Time, p call.RecordingFetchFailed) (event.Event, error) {
	return fact(r, event.DeriveID("recording failed", r.ID, r.Announced.EventID, fmt.Sprint(p.Attempts)), r.CallID, now, p)
}

func deletedFact(r recording.Recording, p call.RecordingDeleted) (event.Event, error) {
	return fact(r, event.DeriveID("recording deleted", r.ID), r.CallID, p.DeletedAt, p)
}

// The alerts that the hub raises about a recording, once for each announcement; of a
// kind one is open at most.
const (
	alertNearEnd = "near end"
	alertFailed  = "failed"
)

func alertID(r recording.Recording, announcement, which string) string {
	return event.DeriveID("alert", "recording", r.ID, announcement, which)
}

func nearEndAlert(r recording.Recording, now time.Time) ([]event.Event, error) {
	left := r.Deadline().Sub(now)
	return raised(r, r.NearAlerted, alertNearEnd, now, alert.Triggered{
		Rule: "Recording about to expire", Metric: "recording_seconds_left", Condition: "<",
		Threshold: r.Deadline().Sub(r.NearEnd).Seconds(), Value: max(0, left.Truncate(time.Second).Seconds()), Severity: "high",
		Note: fmt.Sprintf("Recording %s of call %s is not fetched and its source's link ends in %s. Last: %s",
			r.ID, r.CallID, max(0, left.Truncate(time.Minute)), orNothing(r.LastError)),
	})
}

func failedAlert(r recording.Recording, attempts int, reason string, now time.Time) ([]event.Event, error) {
	return raised(r, r.FailAlerted, alertFailed, now, alert.Triggered{
		Rule: "Recording lost", Metric: "recording_fetch_attempts", Condition: ">=", Threshold: 1, Value: float64(attempts), Severity: "critical",
		Note: fmt.Sprintf("Recording %s of call %s could not be fetched: %s", r.ID, r.CallID, reason),
	})
}

// resolved ends the alert about an announcement, if one is open.
func resolved(r recording.Recording, announcement, which, why string, now time.Time) ([]event.Event, error) {
	if announcement == "" {
		return nil, nil
	}
	id := alertID(r, announcement, which)
	e, err := fact(r, event.DeriveID("alert resolved", id), id, now, alert.Resolved{Note: why})
	return []event.Event{e}, err
}

// raised raises an alert about the newest announcement; one that is open about an
// earlier one ends first.
func raised(r recording.Recording, open, which string, now time.Time, p alert.Triggered) ([]event.Event, error) {
	if open == r.Announced.EventID {
		open = ""
	}
	facts, err := resolved(r, open, which, "The recording was announced anew, and another alert is raised.", now)
	if err != nil {
		return nil, err
	}
	id := alertID(r, r.Announced.EventID, which)
	e, err := fact(r, event.DeriveID("alert triggered", id), id, now, p)
	return append(facts, e), err
}

func orNothing(s string) string {
	if s == "" {
		return "no attempt was made"
	}
	return s
}
