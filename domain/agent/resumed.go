package agent

import "trunkline.dev/trunkline/domain/event"

// Resume says that the agent came back from a pause.
type Resume struct{ Change }

// EventType returns agent.resumed.v1.
func (Resume) EventType() event.Type { return "agent.resumed.v1" }

func (f Resume) fold(a *Agent, e event.Envelope) { a.move(Resumed, f.Change, e) }
