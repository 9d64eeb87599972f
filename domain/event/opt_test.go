package event_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"trunkline.dev/trunkline/domain/event"
)

type merge struct {
	Text event.Opt[string]   `json:"text,omitzero"`
	List event.Opt[[]string] `json:"list,omitzero"`
}

func TestOptSaysAbsentNullAndValue(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]merge{
		`{}`:                                {},
		`{"text":null}`:                     {Text: event.Null[string]()},
		`{"text":""}`:                       {Text: event.Some("")},
		`{"text":"<br>&","list":["a","b"]}`: {Text: event.Some("<br>&"), List: event.Some([]string{"a", "b"})},
		`{"list":[]}`:                       {List: event.Some([]string{})},
	} {
		var got merge
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", body, diff)
		}
		back, err := event.Marshal(got)
		if err != nil || string(back) != body {
			t.Errorf("%s became %s: %v", body, back, err)
		}
	}
	if err := json.Unmarshal([]byte(`{"text":7}`), new(merge)); err == nil {
		t.Error("a number was read as text")
	}
}

func TestOptComesBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := merge{}
		if rapid.Bool().Draw(t, "set") {
			want.Text = event.Some(rapid.String().Draw(t, "text"))
		} else if rapid.Bool().Draw(t, "null") {
			want.Text = event.Null[string]()
		}
		b, err := event.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got merge
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", b, diff)
		}
	})
}

func TestTimesAreUTCAndWholeMicroseconds(t *testing.T) {
	t.Parallel()
	local := time.Date(2026, 3, 7, 15, 30, 0, 123_456_789, time.FixedZone("", 3600))
	if got, want := event.Time(local), time.Date(2026, 3, 7, 14, 30, 0, 123_456_000, time.UTC); !got.Equal(want) || got.Location() != time.UTC {
		t.Errorf("%v became %v", local, got)
	}
}
