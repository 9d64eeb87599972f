// Package pagecursor writes the places where pages of lists end as opaque text that is
// safe in URLs. What it holds is for each list to say; that it is one of that list, too.
package pagecursor

import (
	"encoding/base64"
	"encoding/json"

	"trunkline.dev/trunkline/projections"
)

// longest bounds what Read looks at, in bytes.
const longest = 2048

// Text writes a place: a struct of texts, times and numbers.
func Text(place any) string {
	b, _ := json.Marshal(place) // nothing of these is refused
	return base64.RawURLEncoding.EncodeToString(b)
}

// Read reads what Text wrote into a place, which stays as it is for "", the first page.
// Anything else is projections.ErrCursor.
func Read(text string, place any) error {
	if text == "" {
		return nil
	}
	if len(text) > longest {
		return projections.ErrCursor
	}
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || json.Unmarshal(b, place) != nil {
		return projections.ErrCursor
	}
	return nil
}
