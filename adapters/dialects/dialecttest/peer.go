package dialecttest

import (
	"context"
	"strconv"
	"time"

	"trunkline.dev/trunkline/adapters/dialects"
	"trunkline.dev/trunkline/adapters/memory"
	"trunkline.dev/trunkline/adapters/phone"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/catalog"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/tenant"
)

// peer is a hub with the real intake: what it takes is checked, brought to its
// stored form, given its ids and folded, each event once.
type peer struct {
	caller commands.Caller
	rec    *commands.Recorder
	log    *memory.Log
	stage  *dialects.Stage
	seen   map[string]bool
	states map[string]event.Entity
	own    int
}

// dayAfter is the clock of peers: after all that stories tell.
var dayAfter = noon.Add(24 * time.Hour)

func newPeer(org, connection string) (*peer, error) {
	p := &peer{log: memory.NewLog(1), stage: dialects.NewStage(), seen: make(map[string]bool), states: make(map[string]event.Entity)}
	p.stage.Lists = map[string]string{"list-q2": "Q2 Florida Realtors"}
	p.caller = commands.Caller{
		Org: tenant.Org{ID: org, Secret: []byte("secret of " + org)}, Actor: "key/1", Source: "api", ConnectionID: connection, Region: "US",
	}
	if connection != "" {
		p.caller.Actor, p.caller.Source = "connection/"+connection, "connection/"+connection
	}
	var err error
	p.rec, err = commands.NewRecorder(commands.RecorderConfig{Log: p.log, Phones: phone.Numbers{}, Clock: func() time.Time { return dayAfter }})
	return p, err
}

// record takes facts as one request and returns the views of those that are new,
// and the topics and ids of all that they are about.
func (p *peer) record(facts ...commands.Fact) (views []delivery.View, about []string, err error) {
	if len(facts) == 1 {
		if e, _ := catalog.Lookup(facts[0].Payload.EventType()); e.Own {
			v, err := p.happen(facts[0])
			return []delivery.View{v}, nil, err
		}
	}
	receipts, err := p.rec.Record(context.Background(), p.caller, facts)
	if err != nil {
		return nil, nil, err
	}
	for _, r := range receipts {
		topic, err := event.TopicOf(r.Type)
		if err != nil {
			return nil, nil, err
		}
		about = append(about, entity(topic, r.Subject))
		key := r.Subject + " " + r.EventID
		if p.seen[key] {
			continue
		}
		p.seen[key] = true
		v, err := p.fold(p.log.Events(topic)[r.Position.Offset].Event) // there is one partition
		if err != nil {
			return nil, nil, err
		}
		views = append(views, v)
	}
	return views, about, nil
}

// happen is a fact of the hub's own: no intake takes it.
func (p *peer) happen(f commands.Fact) (delivery.View, error) {
	p.own++
	subject := commands.DerivedID(event.Calls, p.caller.Org.ID, p.caller.ConnectionID, f.ExternalID)
	payload := f.Payload
	id := func(source string) string { return call.RecordingID(p.caller.Org.ID, subject, source) }
	switch o := payload.(type) {
	case call.RecordingStored:
		o.RecordingID = id(o.SourceID)
		payload = o
	case call.RecordingDelayed:
		o.RecordingID = id(o.SourceID)
		payload = o
	}
	ev, err := event.New(event.Envelope{
		ID: event.DeriveID("own", strconv.Itoa(p.own)), Source: "hub", Subject: subject, Org: p.caller.Org.ID, OccurredAt: f.OccurredAt, RecordedAt: dayAfter,
	}, payload)
	if err != nil {
		return delivery.View{}, err
	}
	return p.fold(ev)
}

func (p *peer) fold(e event.Event) (delivery.View, error) {
	v, err := p.stage.Fold(e)
	if err != nil {
		return v, err
	}
	v.OrgName = "Acme"
	link(&v)
	topic, err := event.TopicOf(e.Type)
	p.states[entity(topic, e.Subject)] = v.State()
	return v, err
}

// link says where the recording of a view is had, as the hub does: from itself,
// by the id of the recording that the event is about.
func link(v *delivery.View) {
	if v.Call == nil || v.Call.Copy == nil {
		return
	}
	id := v.Call.Copy.ID
	switch p := v.Payload.(type) {
	case call.RecordingStored:
		id = p.RecordingID
	case call.RecordingDelayed:
		id = p.RecordingID
	}
	v.RecordingURL, v.RecordingExpires = "https://hub.example/recordings/"+id, v.Event.RecordedAt.Add(72*time.Hour)
}

// view is an entity as it is now.
func (p *peer) view(of string) delivery.View {
	v := delivery.View{}
	now, ok := p.states[of]
	if !ok {
		return v
	}
	v.SetStates(nil, now)
	return v
}

// entity names an entity by its topic and id.
func entity(topic event.Topic, id string) string { return string(topic) + "/" + id }
