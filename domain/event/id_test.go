package event_test

import (
	"regexp"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"trunkline.dev/trunkline/domain/event"
)

var uuid8 = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

func TestDerivedIDs(t *testing.T) {
	t.Parallel()
	// Ids are in the log for ever: these must not change.
	for want, got := range map[string]string{
		"601d5476-e2cc-8e2c-87a2-bba7a3226597": event.DeriveID("ab", "c"),
		"55576b64-c186-8985-92bd-4896041dffa7": event.KeyedID([]byte("secret"), "ab", "c"),
	} {
		if got != want {
			t.Errorf("an id became %s, was %s", got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.SliceOf(rapid.String()).Draw(t, "a")
		b := rapid.SliceOf(rapid.String()).Draw(t, "b")
		if !uuid8.MatchString(event.DeriveID(a...)) {
			t.Errorf("%s is no UUID of version 8", event.DeriveID(a...))
		}
		if same := event.DeriveID(a...) == event.DeriveID(b...); same != slices.Equal(a, b) {
			t.Errorf("ids of %q and %q are the same: %v", a, b, same)
		}
		if event.DeriveID(a...) == event.KeyedID([]byte("s"), a...) || event.KeyedID([]byte("s"), a...) == event.KeyedID([]byte("t"), a...) {
			t.Error("the secret does not count")
		}
	})
}

func TestMintedIDs(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.SliceOfN(rapid.Byte(), 1, 40).Draw(t, "secret")
		ms := rapid.Int64Range(0, 1<<47).Draw(t, "ms")
		id := event.MintID(secret, time.UnixMilli(ms), rapid.Uint64().Draw(t, "random"))
		if !uuid8.MatchString(id) || !event.Minted(secret, id) {
			t.Fatalf("%s is not recognised", id)
		}
		if event.Minted(append([]byte("x"), secret...), id) {
			t.Error("another secret recognises it")
		}
		at := rapid.IntRange(0, 35).Draw(t, "at")
		changed := []byte(id)
		if changed[at] != '-' {
			changed[at] = map[bool]byte{true: '1', false: '0'}[changed[at] == '0']
			if event.Minted(secret, string(changed)) {
				t.Errorf("%s was made up of %s and is recognised", changed, id)
			}
		}
		later := event.MintID(secret, time.UnixMilli(ms+1), rapid.Uint64().Draw(t, "other"))
		if later <= id {
			t.Errorf("%s was minted after %s", later, id)
		}
	})
}

func TestMadeUpIDsAreRefused(t *testing.T) {
	t.Parallel()
	good := event.MintID([]byte("s"), time.UnixMilli(1), 2)
	for _, id := range []string{"", "x", good[:35], good + "0", "zz" + good[2:], good[:8] + "0" + good[9:], event.DeriveID("a")} {
		if event.Minted([]byte("s"), id) {
			t.Errorf("%q is recognised", id)
		}
	}
}
