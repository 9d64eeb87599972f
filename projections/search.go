package projections

import (
	"slices"
	"strings"
	"unicode"
)

// maxWords bounds what one row can be found by.
const maxWords = 64

// maxWord bounds a word, in bytes.
const maxWord = 64

// words are what a row is found by: the words of the texts in lower case, and
// the further ones as they are. A text that is one piece to people, such as an
// e-mail address, is found by its beginning and by each of its parts.
func words(further []string, texts ...string) []string {
	all := slices.Clone(further)
	for _, t := range texts {
		all = append(all, Words(t)...)
		for f := range strings.FieldsSeq(strings.ToLower(Clean(t))) {
			all = append(all, cutWord(f))
		}
	}
	slices.Sort(all)
	all = slices.Compact(all)
	return all[:min(len(all), maxWords)]
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
