package agent

import "trunkline.dev/trunkline/domain/event"

// LogIn says that the agent logged in.
type LogIn struct{ Change }

// EventType returns agent.logged_in.v1.
func (LogIn) EventType() event.Type { return "agent.logged_in.v1" }

func (f LogIn) fold(a *Agent, e event.Envelope) { a.move(LoggedIn, f.Change, e) }
