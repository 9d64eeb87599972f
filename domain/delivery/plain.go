package delivery

import (
	"strings"
	"unicode"
)

// mostPlain bounds a plain text in characters. A fact has a bound, and nobody reads
// more.
const mostPlain = 1000

// Plain makes what others may have written, such as the names in a certificate, fit
// to be stored and shown: one line of UTF-8 that can be seen, and no long one.
func Plain(text string) string {
	n := 0
	plain := strings.Map(func(r rune) rune {
		switch n++; {
		case n > mostPlain:
			return -1
		case !unicode.IsGraphic(r):
			return ' '
		}
		return r
	}, text)
	if n > mostPlain {
		return plain + "…"
	}
	return plain
}
