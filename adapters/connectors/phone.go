package connectors

import (
	"strings"

	"github.com/nyaruka/phonenumbers"
)

// numbers are the ways in which a number may stand in another system.
type numbers struct {
	// e164 is "+442071234567", digits the same without the plus, national
	// "2071234567", shown as people of its country write it, "020 7123 4567", and
	// dialled the digits of that.
	e164, digits, national, shown, dialled string
	// regions are where a number without its country may be of, the likelier one
	// first: the country of our own number on the call, and that of this one.
	regions []string
}

// number is the number by which the person of a call is found.
func (d document) number() (numbers, bool) {
	theirs, ours := d.Lead.Phone, d.Call.From
	if theirs == "" {
		theirs = d.Call.OtherParty
	}
	if d.Call.Direction == "inbound" {
		ours = d.Call.To
	}
	return numbersOf(theirs, ours)
}

func numbersOf(e164, ours string) (numbers, bool) {
	n := numbers{e164: e164, digits: strings.TrimPrefix(e164, "+")}
	parsed, err := phonenumbers.Parse(e164, "")
	if err != nil {
		return n, false
	}
	n.national = phonenumbers.GetNationalSignificantNumber(parsed)
	n.shown = phonenumbers.Format(parsed, phonenumbers.NATIONAL)
	n.dialled = phonenumbers.NormalizeDigitsOnly(n.shown)
	for _, of := range []string{ours, e164} {
		if p, err := phonenumbers.Parse(of, ""); err == nil {
			n.regions = append(n.regions, phonenumbers.GetRegionCodeForCountryCode(int(p.GetCountryCode())))
		}
	}
	return n, n.national != ""
}

// How surely a number is one that somebody wrote down.
const (
	otherNumber = iota
	sameNational
	sameExact
)

// likeness judges a number as somebody wrote it. National digits alone say nothing:
// (207) 123-4567 in Maine has those of 020 7123 4567 in London. Without its country a
// number is one of ours if it can be, else one of the caller's.
func (n numbers) likeness(written string) int {
	if p, err := phonenumbers.Parse(written, ""); err == nil {
		if phonenumbers.Format(p, phonenumbers.E164) == n.e164 {
			return sameExact
		}
		return otherNumber
	}
	for _, region := range n.regions {
		p, err := phonenumbers.Parse(written, region)
		if err != nil || phonenumbers.IsPossibleNumberWithReason(p) != phonenumbers.IS_POSSIBLE {
			continue
		}
		if phonenumbers.Format(p, phonenumbers.E164) == n.e164 {
			return sameNational
		}
		return otherNumber
	}
	return otherNumber
}

// whose returns the first of those found whose number it is, one that has it with
// its country before others; nil if it is nobody's. Each is asked for the numbers of
// one.
func whose[T any](n numbers, found []T, each func(T) []string) *T {
	best, who := otherNumber, -1
	for i, one := range found {
		for _, written := range each(one) {
			if l := n.likeness(written); l > best {
				best, who = l, i
			}
		}
	}
	if who < 0 {
		return nil
	}
	return &found[who]
}
