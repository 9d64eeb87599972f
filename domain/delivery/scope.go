package delivery

import (
	"slices"
	"strings"
	"time"

	"trunkline.dev/trunkline/domain/event"
)

// Scope says which events a replay takes.
type Scope struct {
	// From and Until bound the time at which events were recorded; Until is
	// excluded.
	From, Until time.Time
	// Types are wire names, "call.*" or "*"; none is all.
	Types []string
	// Entity limits the replay to one entity, ListID to the calls and leads of one
	// list; empty is all.
	Entity, ListID string
}

// Covers reports whether an event is in the scope, as far as the event alone
// tells: whose list it is of is known to its view only.
func (s Scope) Covers(r event.Recorded) bool {
	switch {
	case r.Fault != nil, r.RecordedAt.Before(s.From), !s.Until.IsZero() && !r.RecordedAt.Before(s.Until):
		return false
	case s.Entity != "" && r.Subject != s.Entity:
		return false
	}
	return len(s.Types) == 0 || matches(s.Types, string(r.Type))
}

// Topics are those that can hold what the scope covers.
func (s Scope) Topics() []event.Topic {
	if len(s.Types) == 0 || slices.Contains(s.Types, "*") {
		return event.PublicTopics()
	}
	var topics []event.Topic
	for _, topic := range event.PublicTopics() {
		if slices.ContainsFunc(s.Types, func(t string) bool { return reaches(topic, t) }) {
			topics = append(topics, topic)
		}
	}
	return topics
}

// reaches reports whether a topic may have events of a type, or of "call.*".
func reaches(topic event.Topic, pattern string) bool {
	if topic == event.Operations && matches([]string{pattern}, string(Exhausted{}.EventType())) {
		return true // the only one that stands on two topics
	}
	return event.On(topic, event.Type(pattern))
}

// matches reports whether a name is one of the patterns: the name itself,
// "call.*", or "*", which is every fact and nothing that the hub says of its own
// webhooks.
func matches(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		prefix, wild := strings.CutSuffix(p, "*")
		return p == name || wild && (prefix == "" && !event.On(event.Operations, event.Type(name)) || prefix != "" && strings.HasSuffix(prefix, ".") && len(prefix) > 1 && strings.HasPrefix(name, prefix))
	})
}
