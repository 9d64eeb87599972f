package projections

import (
	"slices"
	"strings"
	"unicode"
)

// maxWords bounds what one row can be found by: so many words of its texts, and as
// many of its numbers. Many numbers do not keep a name out.
const maxWords = 64

// maxWord bounds a word, in bytes.
const maxWord = 64

// words are what a row is found by: the words of the texts in lower case, and
// those of numbers as they are. A text that is one piece to people, such as an
// e-mail address, is found by its beginning and by each of its parts. Of too many
// the first are taken. A row that is stored keeps its words until it changes or is
// rebuilt, so what is changed here reaches the others by a rebuild.
func words(numbers []string, texts ...string) []string {
	var named []string
	for _, t := range texts {
		named = append(named, Words(t)...)
		for f := range strings.FieldsSeq(strings.ToLower(Clean(t))) {
			named = append(named, cutWord(f))
		}
	}
	all := append(firstWords(named), firstWords(numbers)...)
	slices.Sort(all)
	return slices.Compact(all)
}

// firstWords are the first maxWords different ones.
func firstWords(all []string) []string {
	var kept []string
	for _, w := range all {
		if len(kept) == maxWords {
			break
		}
		if !slices.Contains(kept, w) {
			kept = append(kept, w)
		}
	}
	return kept
}

// Words splits a text into the words that it is searched by.
func Words(text string) []string {
	all := strings.FieldsFunc(strings.ToLower(Clean(text)), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r)
	})
	for i, w := range all {
		all[i] = cutWord(w)
	}
	return all
}

func cutWord(w string) string {
	if len(w) <= maxWord {
		return w
	}
	return strings.ToValidUTF8(w[:maxWord], "")
}

// phoneWords lets a number be found by any run of four or more of its digits.
func phoneWords(number string) []string {
	digits := strings.TrimPrefix(number, "+")
	if len(digits) > maxDigits || strings.Trim(digits, "0123456789") != "" {
		return nil
	}
	var all []string
	for i := 0; i+4 <= len(digits); i++ {
		all = append(all, digits[i:])
	}
	return all
}

// maxDigits bounds what is taken for a phone number; E.164 has 15 at most.
const maxDigits = 20
