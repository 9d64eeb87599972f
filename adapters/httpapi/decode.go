package httpapi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"unicode/utf8"

	"trunkline.dev/trunkline/commands"
)

// readText reads a body that must be UTF-8, as JSON is. encoding/json writes U+FFFD for
// what is not: a name in Latin-1 would be acknowledged, and kept without its accents.
func readText(r *http.Request) ([]byte, error) {
	body, err := readBody(r)
	if err != nil || utf8.Valid(body) {
		return body, err
	}
	at := 0
	for {
		c, size := utf8.DecodeRune(body[at:])
		if c == utf8.RuneError && size == 1 {
			return nil, pointed("", fmt.Sprintf("the body is not UTF-8: byte %d belongs to no character", at+1))
		}
		at += size
	}
}

// decode reads a JSON body strictly: unknown fields, wrong types and trailing
// data are a *commands.Invalid that names the places.
func decode(r *http.Request, into any) error {
	body, err := readText(r)
	if err != nil {
		return err
	}
	return commands.Decode(body, into)
}

// decodeOptional is decode for a body that may be left out.
func decodeOptional(r *http.Request, into any) error {
	body, err := readText(r)
	if err != nil || len(body) == 0 {
		return err
	}
	return commands.Decode(body, into)
}

// decodeKept is read for a body whose texts are columns of Postgres, as settings are.
func decodeKept(r *http.Request, into any, read func(*http.Request, any) error) error {
	body, err := readText(r)
	if err != nil {
		return err
	}
	if err := keepable(body); err != nil {
		return err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return read(r, into)
}

// bodyError says what became of a body that could not be read to its end.
func bodyError(err error) error {
	var big *http.MaxBytesError
	if errors.As(err, &big) {
		return err
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return problem(http.StatusBadRequest, "body", "the body breaks off before its Content-Length")
	}
	p := problem(http.StatusRequestTimeout, "body", "the body did not arrive in time")
	p.cause = err
	return p
}
