package proc

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		line string
		want Process
		ok   bool
	}{
		"own and ended children's time, user and system": {
			line: "12 (postgres) S 7 12 12 0 -1 4194560 1 2 3 4 10 20 30 40 20 0 1 0 100",
			want: Process{Name: "postgres", Parent: 7, Used: time.Second}, ok: true,
		},
		"a name with brackets and spaces": {
			line: "12 (a) (b) S 7 12 12 0 -1 4194560 1 2 3 4 1 0 0 0 20",
			want: Process{Name: "a) (b", Parent: 7, Used: 10 * time.Millisecond}, ok: true,
		},
		"cut off": {line: "12 (postgres) S 7 12"},
		"no name": {line: "12"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, ok := parse([]byte(tc.line))
			if ok != tc.ok {
				t.Fatalf("parsed: %v, want %v", ok, tc.ok)
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}
