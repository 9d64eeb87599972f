package httpapi

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"trunkline.dev/trunkline/domain/event"
)

// The sizes of a page.
const (
	defaultLimit = 50
	maxLimit     = 200
)

// maxText bounds a query parameter, in bytes; nothing that we keep to be found
// by is longer.
const maxText = 1024

// query reads the query parameters of one request and gathers what is wrong
// with them, so that a caller hears of all at once.
type query struct {
	s      *Server
	org    string
	values url.Values
	bad    *Problem
}

// query reads the parameters of a request; ones that are not known are wrong.
func (s *Server) query(r *http.Request, p Principal, known ...string) *query {
	q := &query{s: s, org: p.Org.ID}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		q.bad = problem(http.StatusBadRequest, "invalid", "the query cannot be read: %s", err)
		return q
	}
	q.values = values
	for name, given := range values {
		switch {
		case !slices.Contains(known, name):
			q.wrong(name, "unknown query parameter; known are %s", known)
		case len(given) > 1 && name != "types":
			q.wrong(name, "given %d times", len(given))
		case slices.ContainsFunc(given, func(v string) bool { return len(v) > maxText && name != "cursor" && name != "after" }):
			q.wrong(name, "longer than %d bytes", maxText)
		}
	}
	return q
}

// wrong notes what is wrong with a parameter.
func (q *query) wrong(name, format string, args ...any) {
	if q.bad == nil {
		q.bad = problem(http.StatusBadRequest, "invalid", "the query is wrong")
	}
	if slices.ContainsFunc(q.bad.Errors, func(e fieldError) bool { return e.Pointer == "?"+name }) {
		return
	}
	q.bad = q.bad.at("?"+name, fmt.Sprintf(format, args...))
}

// err is what is wrong, nil if nothing is.
func (q *query) err() error {
	if q.bad == nil {
		return nil
	}
	slices.SortFunc(q.bad.Errors, func(a, b fieldError) int { return strings.Compare(a.Pointer, b.Pointer) })
	if len(q.bad.Errors) > 0 {
		first := q.bad.Errors[0]
		q.bad.Detail = strings.TrimPrefix(first.Pointer, "?") + ": " + first.Detail
	}
	return q.bad
}

func (q *query) text(name string) string { return q.values.Get(name) }

// oneOf is a parameter with few values; absent is "".
func (q *query) oneOf(name string, allowed ...string) string {
	v := q.values.Get(name)
	if q.values.Has(name) && !slices.Contains(allowed, v) {
		q.wrong(name, "expected one of %s", strings.Join(allowed, ", "))
	}
	return v
}

// phone is a number as E.164, read by the region of a list.
func (q *query) phone(name, listID string) string {
	v := plus(q.values.Get(name))
	if v == "" || q.s.cfg.Phones == nil {
		return v
	}
	e164, err := q.s.cfg.Phones.E164(v, q.s.regionOf(q.org, listID))
	if err != nil {
		q.wrong(name, "%s", err)
	}
	return e164
}

// plus repairs a leading "+" that was not escaped and came as a space.
func plus(s string) string {
	if rest, ok := strings.CutPrefix(s, " "); ok {
		return "+" + strings.TrimLeft(rest, " ")
	}
	return s
}

// time is an RFC 3339 time; absent is zero. The "+" of a zone may come as a
// space, like that of a number.
func (q *query) time(name string) time.Time {
	v := q.values.Get(name)
	if v == "" {
		if q.values.Has(name) {
			q.wrong(name, "expected an RFC 3339 time")
		}
		return time.Time{}
	}
	at, err := time.Parse(time.RFC3339Nano, strings.Replace(v, " ", "+", 1))
	if err != nil {
		q.wrong(name, "expected an RFC 3339 time, for example 2026-05-14T12:00:00Z")
		return time.Time{}
	}
	return event.Time(at)
}

// span are two times of which the first is not after the second.
func (q *query) span(since, until string) (from, to time.Time) {
	from, to = q.time(since), q.time(until)
	if !from.IsZero() && !to.IsZero() && to.Before(from) {
		q.wrong(until, "before %s", since)
	}
	return from, to
}

// number is a whole number from 1 up to most; absent is 0.
func (q *query) number(name string, most int64) int64 {
	if !q.values.Has(name) {
		return 0
	}
	n, err := strconv.ParseInt(q.values.Get(name), 10, 64)
	if err != nil || n < 1 || n > most {
		q.wrong(name, "expected a whole number from 1 to %d", most)
		return 0
	}
	return n
}

func (q *query) page() Page {
	p := Page{Limit: int(q.number("limit", maxLimit)), Cursor: q.values.Get("cursor")}
	if p.Limit == 0 {
		p.Limit = defaultLimit
	}
	return p
}

// paged are the parameters of every list.
func paged(names ...string) []string { return append(names, "limit", "cursor") }

// listAnswer is the answer of every list.
type listAnswer[T any] struct {
	Data []T `json:"data"`
	// NextCursor is null at the end.
	NextCursor *string `json:"next_cursor"`
}

// respondList answers with a page of a list.
func respondList[S, T any](w http.ResponseWriter, l List[S], of func(S) T) error {
	answer := listAnswer[T]{Data: make([]T, 0, len(l.Items)), NextCursor: known(l.Next)}
	for _, item := range l.Items {
		answer.Data = append(answer.Data, of(item))
	}
	return respond(w, http.StatusOK, answer)
}

// known is a text, null where it is not known.
func known[S ~string](s S) *string {
	if s == "" {
		return nil
	}
	text := string(s)
	return &text
}

// all is a slice that is written as [] where there is nothing.
func all[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// entries is a map that is written as {} where there is nothing.
func entries[V any](m map[string]V) map[string]V {
	if m == nil {
		return map[string]V{}
	}
	return m
}
