package agent

import "trunkline.dev/trunkline/domain/event"

// LogOut says that the agent logged out.
type LogOut struct{ Change }

// EventType returns agent.logged_out.v1.
func (LogOut) EventType() event.Type { return "agent.logged_out.v1" }

func (f LogOut) fold(a *Agent, e event.Envelope) { a.move(LoggedOut, f.Change, e) }
