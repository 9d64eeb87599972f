package event

import (
	"fmt"
	"strings"
)

// Topic is a Kafka topic of the log.
type Topic string

// The topics. Their names, partition counts and keys are a public contract.
const (
	Leads      Topic = "trunkline.leads.v1"
	Calls      Topic = "trunkline.calls.v1"
	Agents     Topic = "trunkline.agents.v1"
	Alerts     Topic = "trunkline.alerts.v1"
	Messages   Topic = "trunkline.messages.v1"
	Contacts   Topic = "trunkline.contacts.v1"
	Admin      Topic = "trunkline.admin.v1"
	Deliveries Topic = "trunkline.deliveries.v1"
	// Operations holds what the hub says of its own webhooks: few events, so that
	// whoever wants to be told need not read every attempt.
	Operations Topic = "trunkline.operations.v1"
)

// FactTopics are the topics that outside systems report facts to.
func FactTopics() []Topic { return []Topic{Leads, Calls, Agents, Alerts, Messages, Contacts} }

// PublicTopics are the topics whose events receivers and readers of the feed and
// of the analytics may get: the facts, and what the hub says of its webhooks.
func PublicTopics() []Topic { return append(FactTopics(), Operations) }

// Topics are all topics of the log.
func Topics() []Topic { return append(PublicTopics(), Admin, Deliveries) }

// exhausted stands on two topics: among all that is said of deliveries, and
// among the few things that people want to be told of.
const exhausted Type = "delivery.exhausted.v1"

// TopicsOf returns the topics that events of a type are appended to, the one
// that it belongs to first.
func TopicsOf(t Type) ([]Topic, error) {
	of, err := TopicOf(t)
	switch {
	case err != nil:
		return nil, err
	case t == exhausted:
		return []Topic{of, Operations}, nil
	}
	return []Topic{of}, nil
}

// On reports whether events of a type stand on a topic.
func On(topic Topic, t Type) bool {
	of, err := TopicOf(t)
	return err == nil && (of == topic || topic == Operations && t == exhausted)
}

// TopicOf returns the topic that events of a type belong to. The first word of
// the wire name decides, but that a change of an endpoint is a setting and all
// else of it an operation; an unknown word is an error.
func TopicOf(t Type) (Topic, error) {
	kind, rest, _ := strings.Cut(string(t), ".")
	switch kind {
	case "lead":
		return Leads, nil
	case "call":
		return Calls, nil
	case "agent":
		return Agents, nil
	case "alert":
		return Alerts, nil
	case "message":
		return Messages, nil
	case "contact":
		return Contacts, nil
	case "delivery":
		return Deliveries, nil
	case "endpoint":
		if rest, _, _ := strings.Cut(rest, "."); rest != "changed" {
			return Operations, nil
		}
		return Admin, nil
	case "org", "list", "key", "connection", "rule":
		return Admin, nil
	}
	return "", fmt.Errorf("event type %q belongs to no topic", t)
}

// Key is the Kafka key of an entity's events. Equal keys share a partition,
// which is where an entity's order comes from.
func Key(org, subject string) string { return org + "/" + subject }

// Position is where an event stands in the log.
type Position struct {
	Topic     Topic `json:"topic"`
	Partition int   `json:"partition"`
	Offset    int64 `json:"offset"`
}

// String is the readable form, for logs and for `position` in answers:
// "trunkline.calls.v1/3@1042".
func (p Position) String() string {
	return fmt.Sprintf("%s/%d@%d", p.Topic, p.Partition, p.Offset)
}
