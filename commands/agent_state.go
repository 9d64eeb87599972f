package commands

import (
	"context"
	"time"

	"trunkline.dev/trunkline/domain/agent"
	"trunkline.dev/trunkline/domain/event"
)

// SetAgentState reports a transition of an agent.
type SetAgentState struct {
	State    agent.State `json:"state"`
	Reason   string      `json:"reason"`
	Campaign string      `json:"campaign"`
	Name     string      `json:"name"`
	Email    string      `json:"email"`
	At       time.Time   `json:"at"`
	// Strict asks the fold to refuse an impossible transition.
	Strict bool `json:"-"`
}

// SetAgentState appends the transition. Whether it was possible is the fold's
// verdict, not ours: two dialers may report at the same time.
func (r *Recorder) SetAgentState(ctx context.Context, c Caller, id string, in SetAgentState) (Receipt, error) {
	change := agent.Change{Name: in.Name, Email: in.Email, Reason: in.Reason, Campaign: in.Campaign, Strict: in.Strict}
	var p event.Payload
	switch in.State {
	case agent.LoggedIn:
		p = agent.LogIn{Change: change}
	case agent.Paused:
		p = agent.Pause{Change: change}
	case agent.Resumed:
		p = agent.Resume{Change: change}
	case agent.LoggedOut:
		p = agent.LogOut{Change: change}
	default:
		return Receipt{}, &Invalid{Errors: []FieldError{{Pointer: "/state", Detail: "expected one of logged_in, paused, resumed, logged_out"}}}
	}
	if err := plausible("/at", in.At); err != nil {
		return Receipt{}, err
	}
	receipts, err := r.Record(ctx, c, []Fact{{Subject: id, Payload: p, OccurredAt: in.At}})
	if err != nil {
		return Receipt{}, err
	}
	return receipts[0], nil
}

// plausible checks a time that is part of the envelope, not of the data.
func plausible(at string, t time.Time) error {
	var k checker
	k.when(at, t)
	return k.err()
}
