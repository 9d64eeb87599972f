package foldtest

import (
	"fmt"
	"time"

	"pgregory.net/rapid"

	"trunkline.dev/trunkline/domain/event"
)

// Said is a fact as the log has it.
type Said[P event.Payload] struct {
	Env  event.Envelope
	Fact P
}

// Sayings are up to eight facts about one entity, as fact draws the one of a number:
// of different times in any order, or of three, so that some are of the same one.
func Sayings[P event.Payload](distinctTimes bool, fact func(t *rapid.T, i int) P) *rapid.Generator[[]Said[P]] {
	return rapid.Custom(func(t *rapid.T) []Said[P] {
		n := rapid.IntRange(0, 8).Draw(t, "facts")
		times := rapid.Permutation([]int{0, 1, 2, 3, 4, 5, 6, 7}).Draw(t, "times")
		list := make([]Said[P], n)
		for i := range list {
			second := times[i]
			if !distinctTimes {
				second = rapid.IntRange(0, 2).Draw(t, "second")
			}
			at := time.Unix(1_770_000_000+int64(second), 0).UTC()
			list[i] = Said[P]{event.Envelope{ID: fmt.Sprintf("e%d", i), Source: "api", Subject: "entity-1", OccurredAt: at, RecordedAt: at}, fact(t, i)}
		}
		return list
	})
}

// Opt is what a fact of a number says of a field: nothing, that it is empty, or a word
// of its own.
func Opt(t *rapid.T, name string, i int) event.Opt[string] {
	switch rapid.IntRange(0, 2).Draw(t, name) {
	case 0:
		return event.Opt[string]{}
	case 1:
		return event.Null[string]()
	}
	return event.Some(fmt.Sprintf("%s %d", name, i))
}

// Folded applies facts to a state.
func Folded[P event.Payload](t interface{ Fatal(args ...any) }, list []Said[P], apply func(event.Envelope, event.Payload) error) {
	for _, s := range list {
		if err := apply(s.Env, s.Fact); err != nil {
			t.Fatal(err)
		}
	}
}
