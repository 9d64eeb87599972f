package tenant_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"trunkline.dev/trunkline/domain/tenant"
)

func TestKeysAreWellFormedAndTyposAreNot(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var random [32]byte
		copy(random[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "random"))
		key := tenant.FormatKey(random)
		if !tenant.WellFormed(key) || !strings.HasPrefix(key, "tl_live_") || len(key) != 57 {
			t.Fatalf("%q is not well formed", key)
		}
		if shown := tenant.ShownPrefix(key); len(shown) != 12 || !strings.HasPrefix(key, shown) {
			t.Fatalf("%q shows %q", key, shown)
		}
		at := rapid.IntRange(0, len(key)-1).Draw(t, "at")
		typo := []byte(key)
		typo[at] = rapid.SampledFrom([]byte("0123456789abcXYZ_-")).Draw(t, "by")
		if string(typo) != key && tenant.WellFormed(string(typo)) {
			t.Fatalf("%q passes for a key", typo)
		}
	})
}

func TestKeysOfAllBitsDiffer(t *testing.T) {
	t.Parallel()
	seen := map[string]int{}
	for bit := range 256 {
		var random [32]byte
		random[bit/8] = 1 << (bit % 8)
		key := tenant.FormatKey(random)
		if before, ok := seen[key]; ok {
			t.Errorf("bits %d and %d give one key: not all of the randomness is in it", before, bit)
		}
		seen[key] = bit
	}
}

func TestLittleIsShownOfAKeyThatSomebodyChose(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{"": "", "abc": "", "abcd": "a", "correct horse battery staple": "corr"} {
		if got := tenant.ShownPrefix(key); got != want {
			t.Errorf("of %q %q is shown, want %q", key, got, want)
		}
	}
}
