package webhooks

import (
	"testing"

	"trunkline.dev/trunkline/domain/agent"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/contact"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/message"
)

func TestAnEndpointOfOneNumber(t *testing.T) {
	t.Parallel()
	const ours, other = "+14143756757", "+15551234567"
	for name, c := range map[string]struct {
		view   delivery.View
		number string
		want   bool
	}{
		"any number":                   {delivery.View{Call: &call.Call{Direction: "inbound", To: other}}, "", true},
		"an inbound call to it":        {delivery.View{Call: &call.Call{Direction: "inbound", From: other, To: ours}}, ours, true},
		"an inbound call from it":      {delivery.View{Call: &call.Call{Direction: "inbound", From: ours, To: other}}, ours, false},
		"a call that was routed on":    {delivery.View{Call: &call.Call{Direction: "inbound", From: other, To: "+1", OriginalTo: ours}}, ours, true},
		"an outbound call from it":     {delivery.View{Call: &call.Call{Direction: "outbound", From: ours, To: other}}, ours, true},
		"an outbound call to it":       {delivery.View{Call: &call.Call{Direction: "outbound", From: other, To: ours}}, ours, false},
		"a call of unknown direction":  {delivery.View{Call: &call.Call{To: ours}}, ours, true},
		"a call of which nothing":      {delivery.View{Call: &call.Call{}}, ours, false},
		"a message to it":              {delivery.View{Message: &message.Message{Text: message.Text{Direction: "inbound", From: other, To: ours}}}, ours, true},
		"a message from it":            {delivery.View{Message: &message.Message{Text: message.Text{Direction: "outbound", From: ours, To: other}}}, ours, true},
		"a message of another":         {delivery.View{Message: &message.Message{Text: message.Text{Direction: "outbound", From: other, To: ours}}}, ours, false},
		"a contact belongs to all":     {delivery.View{Contact: &contact.Contact{}}, ours, true},
		"an agent's state, to all too": {delivery.View{Agent: &agent.Agent{}}, ours, true},
	} {
		if got := concerns(c.view, c.number); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
