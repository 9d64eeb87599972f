package connectors

import (
	"slices"

	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/delivery"
)

// The events of connectors.
const (
	// callCompleted: what came of a call that has ended is known. It comes again
	// with each further disposition, but not where a source only says again what it
	// has said (seed 004 does at each update), and also when the hub has waited for
	// one in vain, so that every call is told of.
	callCompleted = "call.completed"
	// recordingReady: the hub holds the recording of a call, so it can be copied.
	// Kinds that only link to it are also told when its copy is late or is not to be
	// had: our link leads to the source then.
	recordingReady = "recording.ready"
)

// triggers says at which events a kind acts.
type triggers struct {
	// events can be subscribed to; the first ones, up to byDefault, are.
	events    []string
	byDefault int
	// files: it copies recordings and nothing else, so a recording is acted on
	// whether the call is known to be over or not. Otherwise a recording that
	// comes before callCompleted goes with that, unless another has followed it.
	files bool
	// links: a copy that is late or not to be had is told of too. once: and then not
	// again when it is there.
	links, once bool
	// uploads: it links to recordings, and copies them too.
	uploads bool
}

// chooser is a kind whose connectors act at other events by their settings.
type chooser interface {
	triggersOf(e delivery.Endpoint) triggers
}

// triggersOf says at which events a connector acts.
func triggersOf(k kind, e delivery.Endpoint) triggers {
	if c, ok := k.(chooser); ok {
		return c.triggersOf(e)
	}
	return k.triggers()
}

// reports are kinds that tell of calls, and copy or link their recording.
func reports(byDefault int) triggers {
	return triggers{events: []string{callCompleted, recordingReady}, byDefault: byDefault}
}

// copies are kinds that keep recordings.
func copies() triggers {
	return triggers{events: []string{recordingReady}, byDefault: 1, files: true}
}

func (t triggers) defaults() []string { return slices.Clone(t.events[:t.byDefault]) }

// fired is the event that a view is for a kind, "" for none.
func (t triggers) fired(v delivery.View) string {
	if v.Call == nil {
		return ""
	}
	switch p := v.Payload.(type) {
	case call.Dispositioned:
		if v.Disposed() && v.Call.Ended() && !t.files {
			return callCompleted
		}
	case call.Ended: // a later one only corrects the first
		if !t.files && completed(v.Call) && (v.CallBefore == nil || !v.CallBefore.Ended()) {
			return callCompleted
		}
	case call.Settled:
		if !t.files && p.WaitedFor == call.ForDisposition && v.Call.DispositionAt == nil {
			return callCompleted
		}
	case call.RecordingReady:
		if t.copiesBefore(v.Call) && followed(v) != nil {
			return recordingReady
		}
	case call.RecordingStored:
		older := t.copiesBefore(v.Call) && v.Call.Copy != nil && v.Call.Copy.ID != p.RecordingID
		if (t.files || completed(v.Call) || older) && (!t.once || !p.Delayed) {
			return recordingReady
		}
	case call.RecordingDelayed:
		if t.links && completed(v.Call) {
			return recordingReady
		}
	case call.RecordingFetchFailed:
		if t.links && completed(v.Call) && !p.Delayed && !p.Refused {
			return recordingReady
		}
	}
	return ""
}

// copiesBefore reports whether a recording that another has followed is copied
// although callCompleted has not been told of: that will be about the newest only.
// Kinds that only link to recordings would say something of a call that goes on.
func (t triggers) copiesBefore(c *call.Call) bool {
	return !t.files && (!t.links || t.uploads) && !completed(c)
}

// followed is a call as it was before another recording took the place of one that
// the hub holds; nil if the event is not that.
func followed(v delivery.View) *call.Call {
	was := v.CallBefore
	if _, ok := v.Payload.(call.RecordingReady); !ok || was == nil || was.Recording == nil || was.Copy == nil {
		return nil
	}
	if was.Copy.State != call.CopyStored || v.Call.Copy.ID == was.Copy.ID {
		return nil
	}
	return was
}

// completed reports whether callCompleted has been told of a call.
func completed(c *call.Call) bool {
	return c.Ended() && (c.DispositionAt != nil || slices.Contains(c.Settled, call.ForDisposition))
}
