package webhooks

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/domain/delivery"
)

// threefold is a dialect that makes three messages of each event; while its rig is
// mute it can express none.
type threefold struct {
	plain
	rig *rig
}

// parts are the messages of an event, in their order.
var parts = []string{"ringing", "answered", "tagged"}

func (threefold) Name() string     { return "threefold" }
func (threefold) Events() []string { return parts }

func (d threefold) Render(v delivery.View, e delivery.Endpoint) ([]delivery.Message, error) {
	if d.rig.mute.Load() {
		return nil, errors.New("no such thing in this format")
	}
	one, err := d.plain.Render(v, e)
	if err != nil {
		return nil, err
	}
	var all []delivery.Message
	for i, name := range parts {
		m := delivery.Message{Name: name, Body: slices.Concat(one[0].Body[:len(one[0].Body)-1], []byte(`,"message":"`+name+`"}`))}
		if i > 0 {
			m.Part = name
		}
		all = append(all, m)
	}
	return all, nil
}

func threefoldly(e *delivery.Endpoint) { e.Dialect = "threefold" }

// messages are the messages that came of each entity, in their order.
func messages(t *testing.T, got []seen) map[string][]string {
	t.Helper()
	all := make(map[string][]string)
	for _, s := range got {
		var b struct{ Message string }
		if err := json.Unmarshal([]byte(s.body), &b); err != nil {
			t.Fatal(err)
		}
		all[s.entity] = append(all[s.entity], b.Message)
	}
	return all
}

// inParts is what messages should be, one event of each entity.
func inParts(entities ...string) map[string][]string {
	all := make(map[string][]string)
	for _, e := range entities {
		all[e] = parts
	}
	return all
}

// What a recovery sends again of one event comes in the order in which it should have
// come.
func TestRecoveredMessagesOfAnEventKeepTheirOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		ep := r.endpoint("a", threefoldly)
		h := r.start(nil)
		defer h.stop()
		since := time.Now()
		r.answers(func(Request) Result { return status(500) })
		r.happen(entities(20)...)
		pass(time.Hour)
		r.answers(func(Request) Result { return ok() })
		rp, err := h.replays.Recover(t.Context(), ep, since, time.Now(), "key/1")
		if err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		if diff := cmp.Diff(inParts(entities(20)...), messages(t, r.replayed(rp.ID))); diff != "" {
			t.Errorf("recovered (-want +got):\n%s", diff)
		}
		r.checkNoRows()
	})
}
