package dialects_test

import (
	"encoding/json"
	"regexp"
	"testing"

	"trunkline.dev/trunkline/adapters/dialects"
	"trunkline.dev/trunkline/adapters/dialects/dialecttest"
	"trunkline.dev/trunkline/domain/catalog"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	for _, d := range dialects.All() {
		var o dialecttest.Options
		switch d.Name() {
		case "trunkline":
			// The envelope, and what schemas nest, are as the catalogue has them.
			o = dialecttest.Options{
				Unsigned: true, Carried: cloudEventCarried, Ignores: append(ownFacts(), ofTheOtherHub...), Closed: []string{"*"}, Open: []string{"data"},
			}
		case "dylr":
			o = dialecttest.Options{Unsigned: true, Unknowing: true, Carried: without("list")} // the connection's list
		case "dialnote":
			o = dialecttest.Options{Carried: dialnoteCarried, Reformatted: true}
		case "allo":
			o = dialecttest.Options{Unsigned: true, Unknowing: true}
		case "allo/v2":
			o = dialecttest.Options{Unsigned: true, Unknowing: true, Incomplete: []string{"call.received", "call.triggered", "call.answered"}}
		case "symbo":
			o = dialecttest.Options{Unknowing: true, Carried: symboCarried}
		case "symbo/2025":
			o = dialecttest.Options{Unknowing: true, Carried: func(body []byte) string { return without("title")([]byte(symboCarried(body))) }} // null keeps
		case "dialercx":
			o = dialecttest.Options{Carried: without("alert_id"), Closed: []string{"data/changes"}} // each hub has its own; a change is {old, new}
		}
		t.Run(d.Name(), func(t *testing.T) {
			t.Parallel()
			dialecttest.Run(t, d, o)
		})
	}
}

// ofTheOtherHub are events that are taken and mean nothing here: what it says of
// its own webhooks.
var ofTheOtherHub = []string{
	"delivery.exhausted.v1", "endpoint.disabled.v1", "endpoint.enabled.v1", "endpoint.failing.v1", "endpoint.recovered.v1",
}

// without leaves out a member that belongs to one hub.
func without(key string) func([]byte) string {
	member := regexp.MustCompile(`"` + key + `":("[^"]*"|null)`)
	return func(body []byte) string { return string(member.ReplaceAll(body, nil)) }
}

// dialnoteEnvelope are the ids of the event and the organisation, which each
// hub has its own of.
var dialnoteEnvelope = regexp.MustCompile(`^{"id":"[^"]*",|"organizationId":"[^"]*",`)

func dialnoteCarried(body []byte) string { return string(dialnoteEnvelope.ReplaceAll(body, nil)) }

// cloudEventCarried leaves out what belongs to one hub: its ids, its clock and
// who asked it.
func cloudEventCarried(body []byte) string {
	var e struct {
		Type, Time string
		Data       map[string]json.RawMessage
	}
	if err := json.Unmarshal(body, &e); err != nil {
		return err.Error()
	}
	for _, hubs := range []string{"external_id", "connection_id", "list_id", "lead_id", "source_data"} {
		delete(e.Data, hubs)
	}
	b, err := json.Marshal(e)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// symboCarried leaves out the ids that each hub gives for itself: the event's,
// and the prospect's, which is not the CRM's.
func symboCarried(body []byte) string {
	return hubsOwn.ReplaceAllString(string(body), "$1")
}

var hubsOwn = regexp.MustCompile(`(^\{|"prospect":\{|"data":\{)"id":("[^"]*"|null),`)

// ownFacts are the event types of which each hub has its own.
func ownFacts() []string {
	var names []string
	for _, e := range catalog.All() {
		if e.Own {
			names = append(names, string(e.Type))
		}
	}
	return names
}
