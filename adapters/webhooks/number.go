package webhooks

import "trunkline.dev/trunkline/domain/delivery"

// concerns reports whether a view is of a call or a message of one of our own
// numbers. What has no number of ours (a contact, an agent) concerns all.
func concerns(v delivery.View, number string) bool {
	switch {
	case number == "":
		return true
	case v.Call != nil:
		switch v.Call.Direction {
		case "inbound":
			return v.Call.To == number || v.Call.OriginalTo == number
		case "outbound":
			return v.Call.From == number
		}
		return v.Call.From == number || v.Call.To == number
	case v.Message != nil && v.Message.Direction == "inbound":
		return v.Message.To == number
	case v.Message != nil:
		return v.Message.From == number
	}
	return true
}
