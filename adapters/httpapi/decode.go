package httpapi

import (
	"bytes"
	"errors"
	"io"
	"net/http"

	"trunkline.dev/trunkline/commands"
)

// decode reads a JSON body strictly: unknown fields, wrong types and trailing
// data are a *commands.Invalid that names the places.
func decode(r *http.Request, into any) error {
	body, err := readBody(r)
	if err != nil {
		return err
	}
	return commands.Decode(body, into)
}

// decodeOptional is decode for a body that may be left out.
func decodeOptional(r *http.Request, into any) error {
	body, err := readBody(r)
	if err != nil || len(body) == 0 {
		return err
	}
	return commands.Decode(body, into)
}

// decodeKept is read for a body whose texts are columns of Postgres, as settings are.
func decodeKept(r *http.Request, into any, read func(*http.Request, any) error) error {
	body, err := readBody(r)
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
