package commands_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/contact"
)

// A name in another case was taken for the field, and overrode it: a call that
// said inbound, and "Direction": "outbound" behind it, was an outbound one.
func TestNamesAreExact(t *testing.T) {
	t.Parallel()
	const unknown = "unknown field"
	for name, c := range map[string]struct {
		body string
		into any
		want []commands.FieldError
	}{
		"a name of another case beside the right one": {
			`{"direction":"inbound","Direction":"outbound"}`, new(commands.StartCall), []commands.FieldError{{Pointer: "/Direction", Detail: unknown}},
		},
		"a name of another case alone": {
			`{"External_ID":"x"}`, new(commands.StartCall), []commands.FieldError{{Pointer: "/External_ID", Detail: unknown}},
		},
		"each of several, wherever they stand": {
			`{"NOTE":"x","recording":{"URL":"https://r.example/1.mp3"},"transcript_segments":[{"text":"a"},{"Text":"b"}]}`, new(commands.UpdateCall),
			[]commands.FieldError{
				{Pointer: "/NOTE", Detail: unknown}, {Pointer: "/recording/URL", Detail: unknown}, {Pointer: "/transcript_segments/1/Text", Detail: unknown},
			},
		},
		"with escapes": {
			`{"\u0044irection":"outbound"}`, new(commands.StartCall), []commands.FieldError{{Pointer: "/Direction", Detail: unknown}},
		},
		"in a part that may be cleared": {
			`{"account":{"NAME":"Acme"},"emails":[{"Kind":"work"}]}`, new(contact.Fields),
			[]commands.FieldError{{Pointer: "/account/NAME", Detail: unknown}, {Pointer: "/emails/0/Kind", Detail: unknown}},
		},
		"in the former of two of one name": {
			`{"recording":{"URL":"https://r.example/1.mp3"},"recording":{"format":"mp3"}}`, new(commands.UpdateCall),
			[]commands.FieldError{{Detail: `unknown field "URL"`}},
		},
		"names within custom are the client's":             {`{"custom":{"Direction":1,"direction":2}}`, new(commands.StartCall), nil},
		"of two of one name the last counts":               {`{"direction":"inbound","direction":"outbound"}`, new(commands.StartCall), nil},
		"a name with escapes is the name that it means":    {`{"\u0064irection":"outbound"}`, new(commands.StartCall), nil},
		"a part that may be cleared, and is not":           {`{"account":{"name":"Acme"},"phones":[{"kind":"work"}]}`, new(contact.Fields), nil},
		"a part that may be cleared, and is, twice":        {`{"account":null,"account":null}`, new(contact.Fields), nil},
		"a part that may be cleared, with two of a name":   {`{"account":{"name":"Acme","name":"Beta"}}`, new(contact.Fields), nil},
		"nothing is wrong with a name and a value of null": {`{"note":null,"note":"x"}`, new(commands.UpdateCall), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := commands.Decode([]byte(c.body), c.into)
			var got []commands.FieldError
			if invalid, ok := errors.AsType[*commands.Invalid](err); ok {
				got = invalid.Errors
			} else if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", c.body, diff)
			}
		})
	}
}
