package phone_test

import (
	"testing"

	"github.com/nyaruka/phonenumbers"
	"pgregory.net/rapid"

	"trunkline.dev/trunkline/adapters/phone"
)

func TestE164(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ number, region, want string }{
		{"+15551234567", "US", "+15551234567"},
		{"(555) 123-4567", "US", "+15551234567"},
		{"555.123.4567", "us", "+15551234567"},
		{"1-555-123-4567", "US", "+15551234567"},
		{"+1 414 375 6757", "DE", "+14143756757"},
		{"tel:+1-414-375-6757", "US", "+14143756757"},
		{"555-123-4567 ext. 9", "US", "+15551234567"},
		{"030 123456", "DE", "+4930123456"},
		{"0039 06 1234 5678", "DE", "+390612345678"},
		{"020 7946 0018", "GB", "+442079460018"},
	} {
		got, err := phone.Numbers{}.E164(tc.number, tc.region)
		if err != nil || got != tc.want {
			t.Errorf("%q in %s is %q (%v), want %q", tc.number, tc.region, got, err, tc.want)
		}
	}
}

func TestWhatIsNoNumber(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ number, region string }{
		{"", "US"},
		{"abc", "US"},
		{"12", "US"},
		{"555-0100", "US"},
		{"+1555123456789", "US"},
		{"+999123456789", "US"},
		{"5551234567", "XX"},
		{"anonymous", "US"},
		{string(make([]byte, 300)), "US"},
	} {
		if got, err := (phone.Numbers{}).E164(tc.number, tc.region); err == nil {
			t.Errorf("%q in %s became %q", tc.number, tc.region, got)
		}
	}
}

func TestNational(t *testing.T) {
	t.Parallel()
	for e164, want := range map[string]string{
		"+15551234567": "5551234567", "+4930123456": "30123456", "+390612345678": "0612345678", "": "", "junk": "junk",
	} {
		if got := (phone.Numbers{}).National(e164); got != want {
			t.Errorf("%s is %s at home, want %s", e164, got, want)
		}
	}
}

func TestRegion(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]bool{"US": true, "de": true, "XX": false, "": false, "USA": false} {
		if got := (phone.Numbers{}).Region(code); got != want {
			t.Errorf("%s: %v", code, got)
		}
	}
}

// What is E.164 once stays what it is, in whatever region it is read again:
// otherwise the same lead would get two ids.
func TestE164IsAFixedPoint(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.StringMatching(`\+?[0-9 ()./-]{3,16}`).Draw(t, "number")
		first, err := phone.Numbers{}.E164(number, rapid.SampledFrom([]string{"US", "DE", "IT", "BR"}).Draw(t, "region"))
		if err != nil {
			return
		}
		again, err := phone.Numbers{}.E164(first, rapid.SampledFrom([]string{"US", "DE", "IT", "BR"}).Draw(t, "other region"))
		if err != nil || again != first {
			t.Fatalf("%q is %q, which is %q (%v)", number, first, again, err)
		}
	})
}

// The short cut for North American numbers says what libphonenumber says.
func TestTheShortCutAgrees(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.StringMatching(`\+1[0-9]{9,11}`).Draw(t, "number")
		got, err := phone.Numbers{}.E164(number, "US")
		n, parseErr := phonenumbers.Parse(number, "US")
		possible := parseErr == nil && phonenumbers.IsPossibleNumberWithReason(n) == phonenumbers.IS_POSSIBLE
		if (err == nil) != possible {
			t.Fatalf("%s: %v, libphonenumber says possible=%v (%v)", number, err, possible, parseErr)
		}
		if possible && got != phonenumbers.Format(n, phonenumbers.E164) {
			t.Fatalf("%s is %s, libphonenumber says %s", number, got, phonenumbers.Format(n, phonenumbers.E164))
		}
	})
}

func FuzzE164(f *testing.F) {
	f.Add("+15551234567", "US")
	f.Add("(030) 12-34", "DE")
	f.Fuzz(func(t *testing.T, number, region string) {
		got, err := phone.Numbers{}.E164(number, region)
		if err == nil && (len(got) < 4 || got[0] != '+') {
			t.Errorf("%q in %q became %q", number, region, got)
		}
	})
}
