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
	"trunkline.dev/trunkline/projections"
)

// The sizes of a page.
const (
	defaultPage = 50
	maxPage     = 200
)

// query reads the query parameters of a request. The first mistake is kept; err
// returns it once all were read.
type query struct {
	values url.Values
	wrong  error
}

// queryOf takes the parameters that a route knows; another one is refused by
// name: a typo in a filter must not list everything.
func queryOf(r *http.Request, known ...string) *query {
	q := &query{}
	var err error
	if q.values, err = url.ParseQuery(r.URL.RawQuery); err != nil {
		q.fail("the query cannot be read: %s", err)
		return q
	}
	var strange []string
	for name, values := range q.values {
		switch {
		case !slices.Contains(known, name):
			strange = append(strange, fmt.Sprintf("%.64q", name))
		case len(values) > 1:
			q.fail("the query parameter %s is given more than once", name)
		}
	}
	if len(strange) > 0 {
		slices.Sort(strange)
		expected := "none is taken here"
		if len(known) > 0 {
			expected = "known here: " + strings.Join(known, ", ")
		}
		q.fail("unknown query parameter %s; %s", strings.Join(strange, ", "), expected)
	}
	return q
}

func (q *query) fail(format string, args ...any) {
	if q.wrong == nil {
		q.wrong = problem(http.StatusBadRequest, "query", format, args...)
	}
}

func (q *query) err() error { return q.wrong }

func (q *query) text(name string) string {
	v := q.values.Get(name)
	if strings.ContainsRune(v, 0) {
		q.fail("the query parameter %s holds a zero byte", name)
	}
	return v
}

func (q *query) oneOf(name string, words ...string) string {
	v := q.text(name)
	if v != "" && !slices.Contains(words, v) {
		q.fail("the query parameter %s is one of %s", name, strings.Join(words, ", "))
	}
	return v
}

func (q *query) time(name string) time.Time {
	v := q.text(name)
	if v == "" {
		return time.Time{}
	}
	// A form decoder makes a space of the + of an offset.
	t, err := time.Parse(time.RFC3339, strings.Replace(v, " ", "+", 1))
	if err != nil {
		q.fail("the query parameter %s is an RFC 3339 time such as 2026-05-14T16:30:00Z", name)
	}
	return event.Time(t)
}

func (q *query) number(name string, most int64) int64 {
	v := q.text(name)
	if v == "" {
		return 0
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n < 1 || n > most {
		q.fail("the query parameter %s is a whole number from 1 to %d", name, most)
	}
	return n
}

// page reads limit and cursor.
func (q *query) page() projections.Page {
	limit := q.number("limit", maxPage)
	if limit == 0 {
		limit = defaultPage
	}
	return projections.Page{Limit: int(limit), Cursor: q.text("cursor")}
}

// phone reads a phone number as people write it.
func (q *query) phone(s *Server, name string) string {
	v := q.text(name)
	if v == "" || s.cfg.Reads.Phones == nil {
		return v
	}
	// The + of E.164 arrives as a space when a client did not escape it.
	if strings.HasPrefix(v, " ") {
		v = "+" + v[1:]
	}
	number, err := s.cfg.Reads.Phones.E164(v, defaultRegion)
	if err != nil {
		q.fail("the query parameter %s is not a phone number: %s", name, err)
	}
	return number
}

// listAnswer is a page of a list.
type listAnswer[T any] struct {
	Data       []T     `json:"data"`
	NextCursor *string `json:"next_cursor"`
}

// answerList writes a page; next is "" at the end.
func answerList[T any](w http.ResponseWriter, items []T, next string) error {
	a := listAnswer[T]{Data: items}
	if a.Data == nil {
		a.Data = []T{}
	}
	if next != "" {
		a.NextCursor = &next
	}
	return respond(w, http.StatusOK, a)
}

// pageOf cuts a page out of a list that is in memory whole. The cursor is the
// id of the last item; the list must be in the same order each time.
func pageOf[T any](all []T, p projections.Page, id func(T) string) (items []T, next string, err error) {
	from := 0
	if p.Cursor != "" {
		last := slices.IndexFunc(all, func(v T) bool { return id(v) == p.Cursor })
		if last < 0 {
			return nil, "", projections.ErrCursor
		}
		from = last + 1
	}
	to := min(len(all), from+p.Limit)
	if to < len(all) {
		next = id(all[to-1])
	}
	return all[from:to], next, nil
}

// nullable is nil for an empty text: unknown is null in our answers.
func nullable(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// nullableTime is nil for a time that is not known.
func nullableTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = event.Time(t)
	return &t
}
