package delivery_test

import (
	"strings"
	"testing"

	"trunkline.dev/trunkline/domain/delivery"
)

func TestPlainIsOneLineThatCanBeSeen(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, text, want string }{
		{"what is plain stays", "answered 500: größer, 電話", "answered 500: größer, 電話"},
		{"control characters", "a\x00b\r\n\tc\x7f\u0085d", "a b   c  d"},
		{"marks that turn the text around", "a\u202Eb\u2028c", "a b c"},
		{"bytes that are no text", "a\xff\xfeb", "a\uFFFD\uFFFDb"},
		{"as much as is kept", strings.Repeat("é", 1000), strings.Repeat("é", 1000)},
		{"more", strings.Repeat("\x01", 250_000), strings.Repeat(" ", 1000) + "…"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := delivery.Plain(c.text)
			if got != c.want || delivery.Plain(got) != got {
				t.Errorf("%.50q of %d bytes, want %.50q; again %.50q", got, len(got), c.want, delivery.Plain(got))
			}
		})
	}
}
