package procstat

import (
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		line string
		want process
		ok   bool
	}{
		"own and ended children's time, user and system": {
			line: "12 (postgres) S 7 12 12 0 -1 4194560 1 2 3 4 10 20 30 40 20 0 1 0 100",
			want: process{name: "postgres", parent: 7, used: time.Second}, ok: true,
		},
		"a name with brackets and spaces": {
			line: "12 (a) (b) S 7 12 12 0 -1 4194560 1 2 3 4 1 0 0 0 20",
			want: process{name: "a) (b", parent: 7, used: 10 * time.Millisecond}, ok: true,
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
			if d := cmp.Diff(tc.want, got, cmp.AllowUnexported(process{})); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestOwnProcessIsTheHub(t *testing.T) {
	t.Parallel()
	deadline := time.Now().Add(10 * time.Second)
	for before := Of(os.Getpid()); ; {
		// Work until a tick of it is seen.
		if used := Of(os.Getpid()).Since(before); used[Hub] > 0 && used.Sum() == used[Hub] {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("ten seconds of work are not seen: %v", Of(os.Getpid()))
		}
	}
}
