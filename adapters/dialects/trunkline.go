package dialects

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"trunkline.dev/trunkline/domain/catalog"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/schemas"
)

// Trunkline is our own dialect: every fact of the log as a CloudEvent in
// structured JSON, signed by Standard Webhooks. It mirrors the log, so each
// event makes one webhook, also an upsert that changes nothing.
type Trunkline struct{}

// Name returns "trunkline".
func (Trunkline) Name() string { return "trunkline" }

// Events returns the types of all facts, as they are named on the topics, and
// those of what the hub says of its webhooks.
func (Trunkline) Events() []string {
	var names []string
	for _, e := range catalog.All() {
		if isFact(e.Type) || event.On(event.Operations, e.Type) {
			names = append(names, string(e.Type))
		}
	}
	return names
}

// factNames are the types that another hub may report.
func factNames() []string {
	return slices.DeleteFunc(Trunkline{}.Events(), func(n string) bool { return !isFact(event.Type(n)) })
}

// isFact reports whether a type is a fact of the outside world.
func isFact(t event.Type) bool {
	topic, err := event.TopicOf(t)
	return err == nil && catalog.Known(t) && slices.Contains(event.FactTopics(), topic)
}

// tells reports whether an endpoint may be told of an event of the operations
// topic. Webhooks about webhooks must end: none is told of itself, and that a
// webhook about a webhook was exhausted makes no further one.
func tells(v delivery.View, e delivery.Endpoint) bool {
	if !event.On(event.Operations, v.Event.Type) || v.Event.Subject == e.ID {
		return false
	}
	x, isExhausted := v.Payload.(delivery.Exhausted)
	return !isExhausted || x.Position.Topic != event.Operations
}

// Profile has fifteen seconds, the lower end of what Standard Webhooks
// recommends; the rest is the default.
func (Trunkline) Profile() delivery.Profile { return standardProfile(15 * time.Second) }

// ContentType returns application/cloudevents+json.
func (Trunkline) ContentType() string { return "application/cloudevents+json" }

// Sign returns nothing: the Standard Webhooks headers, which every dialect's
// requests carry, are this dialect's signature.
func (Trunkline) Sign(string, []byte) []delivery.Header { return nil }

// Render sends the event itself.
func (Trunkline) Render(v delivery.View, e delivery.Endpoint) ([]delivery.Message, error) {
	if !isFact(v.Event.Type) && !tells(v, e) {
		return nil, nil
	}
	body, err := cloudEvent(v.Event.Event)
	if err != nil {
		return nil, fmt.Errorf("rendering %s: %w", v.Event.Type, err)
	}
	return []delivery.Message{{Name: string(v.Event.Type), Body: body}}, nil
}

// cloudEvent writes an event as structured CloudEvents JSON. Its attributes are
// those of the Kafka record; data keeps every digit of its numbers.
func cloudEvent(e event.Event) ([]byte, error) {
	b := append(make([]byte, 0, 640+len(e.Data)), `{"specversion":"1.0"`...)
	attr := func(name, value string) {
		if value != "" {
			b = append(append(append(b, `,"`...), name...), `":`...)
			b = appendString(b, value)
		}
	}
	attr("id", e.ID)
	attr("type", string(e.Type))
	attr("source", e.Source)
	attr("subject", e.Subject)
	attr("time", e.OccurredAt.UTC().Format(time.RFC3339Nano))
	attr("datacontenttype", "application/json")
	attr("dataschema", event.SchemaID(e.Type))
	attr("org", e.Org)
	attr("actor", e.Actor)
	attr("correlationid", e.CorrelationID)
	attr("causationid", e.CausationID)
	attr("recordedtime", e.RecordedAt.UTC().Format(time.RFC3339Nano))
	attr("origin", string(e.Origin))
	attr("traceparent", e.TraceParent)
	b, err := appendRaw(append(b, `,"data":`...), e.Data, true)
	if err != nil {
		return nil, err
	}
	return append(b, '}'), nil
}

// Sample renders the example of the event's schema. Of a pattern such as
// "call.*" it is the first event that matches.
func (d Trunkline) Sample(name string, e delivery.Endpoint, now time.Time) (delivery.Message, error) {
	prefix, isPattern := strings.CutSuffix(name, "*")
	for _, n := range d.Events() {
		if n != name && (!isPattern || !strings.HasPrefix(n, prefix)) {
			continue
		}
		data, err := schemas.Events.ReadFile("events/examples/" + n + ".json")
		if err != nil {
			return delivery.Message{}, fmt.Errorf("reading the example of %s: %w", n, err)
		}
		v := sampleView(event.Type(n), "sample-"+strings.TrimSuffix(n, ".v1"), json.RawMessage(data), e, now)
		return sampled(d, v, e)
	}
	return delivery.Message{}, unknownEvent(d, name)
}
