package main

import "testing"

func TestMemoryLimitFollowsWhatIsInUse(t *testing.T) {
	t.Parallel()
	const mb = 1 << 20
	for name, tc := range map[string]struct {
		live, own, has uint64
		want           int64
	}{
		"little in use: the base":       {live: 40 * mb, own: 20 * mb, want: heapBase},
		"near the base: still the base": {live: 100 * mb, own: 30 * mb, want: heapBase},
		"more in use: some for more":    {live: 400 * mb, own: 50 * mb, want: 750 * mb},
		"a large installation":          {live: 8000 * mb, own: 500 * mb, want: 14500 * mb},
		"after a burst: step by step":   {live: 100 * mb, own: 30 * mb, has: 500 * mb, want: 496 * mb},
		"the last step":                 {live: 100 * mb, own: 30 * mb, has: heapBase + 1, want: heapBase},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := memoryLimit(tc.live, tc.own, tc.has); got != tc.want {
				t.Errorf("limit %d MB, want %d MB", got/mb, tc.want/mb)
			}
		})
	}
	if live, own, has := readMemory(); live == 0 || own == 0 || has < live+own {
		t.Errorf("this process has %d bytes in use, takes %d for itself, and has %d in all", live, own, has)
	}
}
