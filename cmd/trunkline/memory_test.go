package main

import "testing"

func TestMemoryLimitFollowsWhatIsInUse(t *testing.T) {
	t.Parallel()
	const mb = 1 << 20
	for name, tc := range map[string]struct {
		live, own uint64
		want      int64
	}{
		"little in use: the base":       {live: 40 * mb, own: 20 * mb, want: heapBase},
		"near the base: still the base": {live: 100 * mb, own: 30 * mb, want: heapBase},
		"more in use: some for more":    {live: 400 * mb, own: 50 * mb, want: 750 * mb},
		"a large installation":          {live: 8000 * mb, own: 500 * mb, want: 14500 * mb},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := memoryLimit(tc.live, tc.own); got != tc.want {
				t.Errorf("limit %d MB, want %d MB", got/mb, tc.want/mb)
			}
		})
	}
	if live, own := readMemory(); live == 0 || own == 0 {
		t.Errorf("this process has %d bytes in use and takes %d for itself", live, own)
	}
}
