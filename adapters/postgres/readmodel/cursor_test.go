package readmodel

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func FuzzCursor(f *testing.F) {
	f.Add(cursor{List: "calls", At: time.Unix(1, 0).UTC(), ID: "c1"}.String())
	f.Add("e30")
	f.Fuzz(func(t *testing.T, s string) {
		c, err := readCursor("calls", s)
		if err != nil {
			if !errors.Is(err, ErrCursor) {
				t.Errorf("reading %q: %v", s, err)
			}
			return
		}
		if strings.Contains(c.ID, "\x00") || c.List != "calls" {
			t.Errorf("%q was read as %+v", s, c)
		}
		again, err := readCursor("calls", c.String())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c, again); diff != "" {
			t.Errorf("once more (-first +second):\n%s", diff)
		}
	})
}
