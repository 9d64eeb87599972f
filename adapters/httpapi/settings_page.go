package httpapi

import (
	"net/http"
	"slices"
	"time"

	"trunkline.dev/trunkline/domain/event"
)

// pageOf cuts a page out of a list that is in memory whole. The cursor is the
// id of the last item; the list must be in the same order each time.
func pageOf[T any](all []T, p Page, id func(T) string) (List[T], error) {
	from := 0
	if p.Cursor != "" {
		last := slices.IndexFunc(all, func(v T) bool { return id(v) == p.Cursor })
		if last < 0 {
			return List[T]{}, ErrCursor
		}
		from = last + 1
	}
	to := min(len(all), from+p.Limit)
	page := List[T]{Items: all[from:to]}
	if to < len(all) {
		page.Next = id(all[to-1])
	}
	return page, nil
}

// listed answers with a page of a list of settings.
func listed[T, A any](s *Server, w http.ResponseWriter, r *http.Request, p Principal, all []T, id func(T) string, of func(T) A) error {
	q := s.query(r, p, paged()...)
	page := q.page()
	if err := q.err(); err != nil {
		return err
	}
	list, err := pageOf(all, page, id)
	if err != nil {
		return readError(err)
	}
	return respondList(w, list, of)
}

// knownTime is a time, null where it is not known.
func knownTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = event.Time(t)
	return &t
}

// firstOf returns the first error that is one.
func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
