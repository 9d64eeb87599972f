package dialects

import (
	"fmt"
	"reflect"

	"trunkline.dev/trunkline/domain/catalog"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/lead"
)

// Stage folds events in memory and gives the views to render them from, for
// where no hub is: a file of events on somebody's desk, the tests.
type Stage struct {
	// Lists names the lists by id.
	Lists map[string]string

	entities map[string]event.Entity
	versions map[string]int64
}

// NewStage returns an empty stage.
func NewStage() *Stage {
	return &Stage{entities: make(map[string]event.Entity), versions: make(map[string]int64)}
}

// Fold folds the next event. The states of the view stay as they are.
func (s *Stage) Fold(e event.Event) (delivery.View, error) {
	v := delivery.View{Event: event.Recorded{Event: e}, OrgID: e.Org}
	topics, err := event.TopicsOf(e.Type)
	if err != nil {
		return v, err
	}
	topic := topics[len(topics)-1] // of two the one that webhooks are made of
	if v.Payload, err = catalog.Decode(e.Type, e.Data); err != nil {
		return v, err
	}
	now, ok := catalog.Entity(topic)
	if !ok {
		return v, fmt.Errorf("%s is no fact", e.Type)
	}
	key := entityKey(topic, e.Subject)
	before, known := s.entities[key]
	if known {
		// A fold replaces what it changes, so that a copy of the top is a copy.
		reflect.ValueOf(now).Elem().Set(reflect.ValueOf(before).Elem())
	}
	if err := now.Apply(e.Envelope, v.Payload); err != nil {
		return v, err
	}
	s.entities[key] = now
	s.versions[key]++
	v.Version = s.versions[key]
	v.SetStates(before, now)
	s.complete(&v)
	return v, nil
}

// complete adds what an entity does not know by itself.
func (s *Stage) complete(v *delivery.View) {
	list := ""
	switch {
	case v.Call != nil:
		if l, ok := s.entities[entityKey(event.Leads, v.Call.LeadID)].(*lead.Lead); ok {
			v.CallLead = l
		}
		list = v.Call.ListID
		if list == "" && v.CallLead != nil && v.CallLead.ListID != nil {
			list = *v.CallLead.ListID
		}
	case v.Lead != nil && v.Lead.ListID != nil:
		list = *v.Lead.ListID
	}
	v.ListName = s.Lists[list]
}

func entityKey(topic event.Topic, id string) string { return string(topic) + "/" + id }
