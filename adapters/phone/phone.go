// Package phone reads and writes phone numbers with libphonenumber's metadata.
package phone

import (
	"errors"
	"fmt"
	"strings"

	"github.com/nyaruka/phonenumbers"
)

// Numbers reads phone numbers. The zero value is ready; it is safe for
// concurrent use.
type Numbers struct{}

// maxLength bounds what is parsed. libphonenumber has the same bound.
const maxLength = 250

// E164 reads a number as people of a region write it and returns it as E.164.
// Numbers that are possible are accepted, assigned or not. A number that is
// possible only as a local one ("555-0100" in the US) is refused: without its
// area code it names no line, and two leads of two cities would be one.
func (Numbers) E164(number, region string) (string, error) {
	if len(number) > maxLength {
		return "", fmt.Errorf("a phone number has at most %d characters", maxLength)
	}
	if northAmerican(number) {
		return number, nil
	}
	n, err := phonenumbers.Parse(number, strings.ToUpper(region))
	if err != nil {
		return "", fmt.Errorf("%s: expected an E.164 number, or a national one of %s", reason(err), region)
	}
	switch phonenumbers.IsPossibleNumberWithReason(n) {
	case phonenumbers.IS_POSSIBLE:
		return phonenumbers.Format(n, phonenumbers.E164), nil
	case phonenumbers.IS_POSSIBLE_LOCAL_ONLY:
		return "", fmt.Errorf("the area code is missing: expected an E.164 number, or a national one of %s", region)
	case phonenumbers.TOO_SHORT:
		return "", fmt.Errorf("too short for a phone number of %s", region)
	case phonenumbers.TOO_LONG:
		return "", fmt.Errorf("too long for a phone number of %s", region)
	case phonenumbers.INVALID_COUNTRY_CODE:
		return "", fmt.Errorf("the country code does not exist")
	}
	return "", fmt.Errorf("not a possible phone number of %s", region)
}

// northAmerican recognises +1 and ten digits, the area code not beginning with
// the national prefix or 0: that is E.164 already, and possible. Most numbers
// come so; reading them by libphonenumber's expressions is what intake would
// spend most of its time on.
func northAmerican(number string) bool {
	if len(number) != 12 || number[0] != '+' || number[1] != '1' || number[2] < '2' || number[2] > '9' {
		return false
	}
	for i := 3; i < len(number); i++ {
		if number[i] < '0' || number[i] > '9' {
			return false
		}
	}
	return true
}

func reason(err error) string {
	switch {
	case errors.Is(err, phonenumbers.ErrInvalidCountryCode):
		return "the country code does not exist"
	case errors.Is(err, phonenumbers.ErrTooShortNSN), errors.Is(err, phonenumbers.ErrTooShortAfterIDD):
		return "too short for a phone number"
	case errors.Is(err, phonenumbers.ErrNumTooLong):
		return "too long for a phone number"
	}
	return "not a phone number"
}

// National returns the digits of an E.164 number without its country code, as
// some dialects want them: "5551234567" of "+15551234567". What cannot be read
// is returned as it came.
func (Numbers) National(e164 string) string {
	n, err := phonenumbers.Parse(e164, "")
	if err != nil {
		return e164
	}
	return phonenumbers.GetNationalSignificantNumber(n)
}

// Region reports whether libphonenumber knows a region (ISO 3166 alpha-2).
func (Numbers) Region(code string) bool {
	return phonenumbers.GetSupportedRegions()[strings.ToUpper(code)]
}
