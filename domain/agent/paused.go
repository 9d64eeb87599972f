package agent

import "trunkline.dev/trunkline/domain/event"

// Pause says that the agent paused.
type Pause struct{ Change }

// EventType returns agent.paused.v1.
func (Pause) EventType() event.Type { return "agent.paused.v1" }

func (f Pause) fold(a *Agent, e event.Envelope) { a.move(Paused, f.Change, e) }
