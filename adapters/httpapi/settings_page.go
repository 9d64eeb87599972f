package httpapi

import (
	"cmp"
	"net/http"
	"time"

	"trunkline.dev/trunkline/adapters/internal/pagecursor"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// pageCursor is where a page ended: which list it was of, and the time and the id that
// its last item is sorted by, which may be gone when the next page is asked for.
type pageCursor struct {
	List string    `json:"l"`
	At   time.Time `json:"t"`
	ID   string    `json:"i"`
}

func readPageCursor(list, s string) (pageCursor, error) {
	var c pageCursor
	if err := pagecursor.Read(s, &c); err != nil || c.List != list || c.ID != projections.Clean(c.ID) {
		return c, ErrCursor
	}
	return c, nil
}

// before reports whether an item stands before the next page.
func (c pageCursor) before(at time.Time, id string) bool {
	return cmp.Or(at.Compare(c.At), cmp.Compare(id, c.ID)) <= 0
}

// pageOf cuts a page out of a list that is in memory whole, oldest first by age.
func pageOf[T any](list string, all []T, p Page, age func(T) (time.Time, string)) (List[T], error) {
	from := 0
	if p.Cursor != "" {
		c, err := readPageCursor(list, p.Cursor)
		if err != nil {
			return List[T]{}, err
		}
		for from < len(all) && c.before(age(all[from])) {
			from++
		}
	}
	to := min(len(all), from+p.Limit)
	page := List[T]{Items: all[from:to]}
	if to < len(all) {
		at, id := age(all[to-1])
		page.Next = pagecursor.Text(pageCursor{list, at, id})
	}
	return page, nil
}

// listed answers with a page of a list of settings.
func listed[T, A any](s *Server, w http.ResponseWriter, r *http.Request, p Principal, name string, all []T, age func(T) (time.Time, string), of func(T) A) error {
	q := s.query(r, p, paged()...)
	page := q.page()
	if err := q.err(); err != nil {
		return err
	}
	list, err := pageOf(name, all, page, age)
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
