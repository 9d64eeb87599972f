package pagecursor_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"trunkline.dev/trunkline/adapters/internal/pagecursor"
	"trunkline.dev/trunkline/projections"
)

type place struct {
	At time.Time `json:"t,omitzero"`
	ID string    `json:"i"`
}

func TestAPlaceComesBackAsItWas(t *testing.T) {
	for _, want := range []place{{}, {ID: "ä b/c\n"}, {At: time.Date(2026, 11, 29, 12, 0, 0, 123456000, time.UTC), ID: "call_1"}} {
		var got place
		if err := pagecursor.Read(pagecursor.Text(want), &got); err != nil || got != want {
			t.Errorf("%+v came back as %+v, %v", want, got, err)
		}
	}
}

func TestNoTextIsTheFirstPage(t *testing.T) {
	got := place{ID: "first"}
	if err := pagecursor.Read("", &got); err != nil || got.ID != "first" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestWhatWasNotWrittenIsNoCursor(t *testing.T) {
	for _, text := range []string{"x", "!", "bm90IGpzb24", pagecursor.Text(place{ID: strings.Repeat("a", 4000)}), pagecursor.Text(5)} {
		if err := pagecursor.Read(text, &place{}); !errors.Is(err, projections.ErrCursor) {
			t.Errorf("%.20q was read: %v", text, err)
		}
	}
}
