package event_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"trunkline.dev/trunkline/domain/event"
)

func TestPositionToken(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		in    []event.Position
		token string
		out   []event.Position
	}{
		"nothing is the empty token": {},
		"one position is short": {
			in:    []event.Position{{Topic: event.Calls, Partition: 3, Offset: 1042}},
			token: "AQIDkgg",
			out:   []event.Position{{Topic: event.Calls, Partition: 3, Offset: 1042}},
		},
		"the highest offset of a partition wins": {
			in:    []event.Position{{Topic: event.Leads, Offset: 9}, {Topic: event.Leads, Offset: 7}, {Topic: event.Calls, Offset: 0}},
			token: "AQIAAAEACQ",
			out:   []event.Position{{Topic: event.Calls, Offset: 0}, {Topic: event.Leads, Offset: 9}},
		},
		"a topic without a number keeps its name": {
			in:    []event.Position{{Topic: "other", Partition: 1, Offset: 2}},
			token: "AQAFb3RoZXIBAg",
			out:   []event.Position{{Topic: "other", Partition: 1, Offset: 2}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			token := event.EncodePositions(tc.in...)
			if token != tc.token {
				t.Errorf("token %q, want %q", token, tc.token)
			}
			out, err := event.DecodePositions(token)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tc.out, out); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestPositionTokenRefusesWhatIsNotOurs(t *testing.T) {
	t.Parallel()
	for name, token := range map[string]string{
		"not base64url":       "a+b/",
		"another version":     "AgIDkgg",
		"version alone":       "AQ",
		"cut off":             "AQIDkg",
		"unknown number":      "AQkDAQ",
		"not in order":        "AQEACQIAAA",
		"a number in excess":  "AQKDAJII",
		"name longer than it": "AQAFb3Ro",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if p, err := event.DecodePositions(token); !errors.Is(err, event.ErrToken) {
				t.Errorf("got %v, %v", p, err)
			}
		})
	}
}

func TestPositionTokenRoundTrips(t *testing.T) {
	t.Parallel()
	position := rapid.Custom(func(t *rapid.T) event.Position {
		return event.Position{
			Topic:     rapid.OneOf(rapid.SampledFrom(event.Topics()), rapid.Just(event.Topic("x.y"))).Draw(t, "topic"),
			Partition: rapid.IntRange(0, 63).Draw(t, "partition"),
			Offset:    rapid.Int64Min(0).Draw(t, "offset"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.SliceOfN(position, 0, 50).Draw(t, "positions")
		highest := map[event.Position]int64{}
		for _, p := range in {
			k := event.Position{Topic: p.Topic, Partition: p.Partition}
			highest[k] = max(highest[k], p.Offset)
		}
		out, err := event.DecodePositions(event.EncodePositions(in...))
		if err != nil {
			t.Fatal(err)
		}
		got := map[event.Position]int64{}
		for _, p := range out {
			got[event.Position{Topic: p.Topic, Partition: p.Partition}] = p.Offset
		}
		if d := cmp.Diff(highest, got); d != "" {
			t.Fatal(d)
		}
	})
}

func FuzzDecodePositions(f *testing.F) {
	f.Add("AQIDkgg")
	f.Add("AQAFb3RoZXIBAg")
	f.Add("")
	f.Fuzz(func(t *testing.T, token string) {
		p, err := event.DecodePositions(token)
		if err != nil {
			if !errors.Is(err, event.ErrToken) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		if again := event.EncodePositions(p...); again != token {
			t.Fatalf("%q became %q", token, again)
		}
	})
}
