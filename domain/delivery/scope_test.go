package delivery_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

func TestScopeCovers(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	at := func(after time.Duration, change ...func(*event.Recorded)) event.Recorded {
		r := event.Recorded{Event: event.Event{Envelope: event.Envelope{Type: "call.ended.v1", Subject: "c1", RecordedAt: noon.Add(after)}}}
		for _, f := range change {
			f(&r)
		}
		return r
	}
	hour := delivery.Scope{From: noon, Until: noon.Add(time.Hour)}
	typed := func(types ...string) delivery.Scope {
		s := hour
		s.Types = types
		return s
	}
	entity := hour
	entity.Entity = "c2"
	for _, c := range []struct {
		name  string
		scope delivery.Scope
		event event.Recorded
		want  bool
	}{
		{"its first moment", hour, at(0), true},
		{"before it", hour, at(-time.Microsecond), false},
		{"its last moment", hour, at(time.Hour - time.Microsecond), true},
		{"its end", hour, at(time.Hour), false},
		{"no end", delivery.Scope{From: noon}, at(1000 * time.Hour), true},
		{"another entity", entity, at(0), false},
		{"the type", typed("call.started.v1", "call.ended.v1"), at(0), true},
		{"another type", typed("call.started.v1"), at(0), false},
		{"a pattern", typed("call.*"), at(0), true},
		{"another pattern", typed("calls.*", "lead.*"), at(0), false},
		{"half a word", typed("call.en*"), at(0), false},
		{"everything", typed("*"), at(0), true},
		{"what the hub says is not every fact", typed("*"), at(0, func(r *event.Recorded) { r.Type = "endpoint.disabled.v1" }), false},
		{"unless it is asked for", typed("endpoint.*"), at(0, func(r *event.Recorded) { r.Type = "endpoint.disabled.v1" }), true},
		{"a record that cannot be read", hour, at(0, func(r *event.Recorded) { r.Fault = errors.New("junk") }), false},
	} {
		if got := c.scope.Covers(c.event); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestScopeTopics(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		types []string
		want  []event.Topic
	}{
		{nil, event.PublicTopics()},
		{[]string{"call.ended.v1", "*"}, event.PublicTopics()},
		{[]string{"call.ended.v1", "call.*"}, []event.Topic{event.Calls}},
		{[]string{"message.sent.v1", "lead.*"}, []event.Topic{event.Leads, event.Messages}},
		{[]string{"delivery.attempted.v1", "admin.*", "nothing", ""}, nil},
		{[]string{"delivery.exhausted.v1"}, []event.Topic{event.Operations}},
		{[]string{"delivery.*"}, []event.Topic{event.Operations}},
		{[]string{"endpoint.*"}, []event.Topic{event.Operations}},
	} {
		if diff := cmp.Diff(c.want, delivery.Scope{Types: c.types}.Topics()); diff != "" {
			t.Errorf("%v (-want +got):\n%s", c.types, diff)
		}
	}
}
