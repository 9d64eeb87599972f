package main

import (
	"fmt"
	"strings"
	"testing"
	"unicode"
)

// A receiver chooses its answer, and a terminal obeys what it finds there.
func TestWhatAReceiverAnsweredDoesNotCommandTheTerminal(t *testing.T) {
	t.Parallel()
	const hostile = "\x1b]0;mine\a\x1b[2J{\"ok\": true}\n\ttwo\rone\u009b31m"
	const want = "\\x1b]0;mine\\a\\x1b[2J{\"ok\": true}\n\ttwo\\rone\\u009b31m"
	var answer, attempt strings.Builder
	if err := printAnswer(&answer, 200, 1, "", hostile); err != nil {
		t.Fatal(err)
	}
	printAttempt(&attempt, attemptState{Number: 1, ResponseBody: hostile, RequestBody: hostile})
	var rows strings.Builder
	parked := table(&rows) // the ids of a foreign record, say
	fmt.Fprintf(parked, "%s\tpoison\n", hostile)
	if err := parked.Flush(); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"trigger": answer.String(), "deliveries show": attempt.String(), "a table": rows.String()} {
		if name != "a table" && !strings.Contains(text, want) {
			t.Errorf("%s prints %q", name, text)
		}
		if i := strings.IndexFunc(text, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }); i >= 0 {
			t.Errorf("%s prints a control character: %q", name, text[i:])
		}
	}
}
