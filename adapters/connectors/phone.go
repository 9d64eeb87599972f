package connectors

import (
	"strings"

	"github.com/nyaruka/phonenumbers"
)

// numbers are the ways in which a number may stand in another system.
type numbers struct {
	// e164 is "+15551234567", digits the same without the plus, national
	// "5551234567", and shown as people of its country write it, "(555) 123-4567".
	e164, digits, national, shown string
}

func numbersOf(e164 string) (numbers, bool) {
	n := numbers{e164: e164, digits: strings.TrimPrefix(e164, "+")}
	parsed, err := phonenumbers.Parse(e164, "")
	if err != nil {
		return n, false
	}
	n.national = phonenumbers.GetNationalSignificantNumber(parsed)
	n.shown = phonenumbers.Format(parsed, phonenumbers.NATIONAL)
	return n, n.national != ""
}

// party is the number by which the person of a call is found.
func (d document) party() string {
	if d.Lead.Phone != "" {
		return d.Lead.Phone
	}
	return d.Call.OtherParty
}
