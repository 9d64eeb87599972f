package settings

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"trunkline.dev/trunkline/commands"
)

// faults collects what is wrong with an input.
type faults struct{ list []commands.FieldError }

func (f *faults) add(pointer, format string, args ...any) {
	f.list = append(f.list, commands.FieldError{Pointer: pointer, Detail: fmt.Sprintf(format, args...)})
}

// take adds what an Invalid says; other errors it returns.
func (f *faults) take(err error) error {
	var invalid *commands.Invalid
	if !errors.As(err, &invalid) {
		return err
	}
	f.list = append(f.list, invalid.Errors...)
	return nil
}

func (f *faults) err() error {
	if len(f.list) == 0 {
		return nil
	}
	return &commands.Invalid{Errors: f.list}
}

// maxName is the longest name of anything (seed 001).
const maxName = 100

func (f *faults) name(pointer, name string) {
	switch {
	case strings.TrimSpace(name) == "":
		f.add(pointer, "a name is required")
	case utf8.RuneCountInString(name) > maxName:
		f.add(pointer, "a name has at most %d characters, this one has %d", maxName, utf8.RuneCountInString(name))
	default:
		f.text(pointer, name, 4*maxName)
	}
}

// text refuses what does not belong into one line of text.
func (f *faults) text(pointer, text string, max int) {
	if len(text) > max {
		f.add(pointer, "at most %d bytes are kept, this has %d", max, len(text))
	}
	if !utf8.ValidString(text) || strings.IndexFunc(text, unicode.IsControl) >= 0 {
		f.add(pointer, "control characters are not allowed")
	}
}

// maxURL is the longest URL of a webhook.
const maxURL = 2048

func (f *faults) url(pointer, text string, guard Guard) {
	u, err := url.Parse(text)
	switch {
	case text == "":
		f.add(pointer, "a URL is required")
	case len(text) > maxURL:
		f.add(pointer, "a URL has at most %d characters", maxURL)
	case err != nil, u.Host == "", u.Hostname() == "":
		f.add(pointer, "expected an absolute URL such as https://example.com/webhooks")
	case u.User != nil:
		f.add(pointer, "credentials do not belong into the URL; put them into headers.Authorization")
	case u.Fragment != "":
		f.add(pointer, "a URL to post to has no fragment (#%s)", u.Fragment)
	default:
		if err := guard.CheckURL(text); err != nil {
			f.add(pointer, "%s", err)
		}
	}
}

// overlap returns the overlap of a rotation, given in seconds.
func (f *faults) overlap(seconds *int64) time.Duration {
	if seconds == nil {
		return DefaultOverlap
	}
	if *seconds < 0 || *seconds > int64(MaxOverlap/time.Second) {
		f.add("/overlap_sec", "expected 0 to %d seconds", int64(MaxOverlap/time.Second))
		return 0
	}
	return time.Duration(*seconds) * time.Second
}
