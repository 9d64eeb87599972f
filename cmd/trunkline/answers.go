package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

// visible is what others wrote, such as a receiver's answer, for a terminal, which would
// obey the control characters in it.
func visible(text string) string {
	commands := func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }
	if strings.IndexFunc(text, commands) < 0 {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if !commands(r) {
			b.WriteRune(r)
			continue
		}
		quoted := strconv.QuoteRune(r)
		b.WriteString(quoted[1 : len(quoted)-1])
	}
	return b.String()
}

// question is a call of the API whose answer is for people to read.
type question struct {
	method, path string
	body         any
	// json has the answer printed as it came.
	json bool
}

// show asks a question of the hub, reads the answer into into, if that is not
// nil, and has tell print it.
func show(ctx context.Context, s streams, q question, into any, tell func() error) error {
	op, _, err := newOperator()
	if err != nil {
		return err
	}
	return op.show(ctx, s, q, into, tell)
}

func (o *operator) show(ctx context.Context, s streams, q question, into any, tell func() error) error {
	raw, err := ask(ctx, o, q.method, q.path, q.body, into)
	if err != nil {
		return err
	}
	if q.json {
		return printRaw(s.out, raw)
	}
	return tell()
}

// ask makes one call and returns the answer's bytes, for --json, beside into.
func ask(ctx context.Context, op *operator, method, path string, body, into any) (json.RawMessage, error) {
	var raw json.RawMessage
	if err := op.call(ctx, method, path, body, &raw); err != nil {
		return nil, err
	}
	if into != nil {
		if err := json.Unmarshal(raw, into); err != nil {
			return nil, fmt.Errorf("reading the hub's answer: %w", err)
		}
	}
	return raw, nil
}

// eachPage hands over the pages of a list one after the other, as ask does. at is
// the path of the page behind a cursor, which is "" for the first one.
func eachPage[T any](ctx context.Context, op *operator, at func(cursor string) string, each func(raw json.RawMessage, page []T) error) error {
	return eachUpTo(ctx, op, math.MaxInt, func(cursor string, _ int) string { return at(cursor) }, each)
}

// largestPage is how many items the API gives at most at once.
const largestPage = 200

// eachUpTo is eachPage for the first items of a list; most is how many a page may have.
func eachUpTo[T any](ctx context.Context, op *operator, limit int, at func(cursor string, most int) string, each func(raw json.RawMessage, page []T) error) error {
	if limit < 1 {
		return fmt.Errorf("%w: --limit: expected 1 or more, got %d", errUsage, limit)
	}
	for cursor := ""; ; {
		var page struct {
			Data []T     `json:"data"`
			Next *string `json:"next_cursor"`
		}
		raw, err := ask(ctx, op, http.MethodGet, at(cursor, min(limit, largestPage)), nil, &page)
		if err != nil {
			return err
		}
		limit -= len(page.Data)
		if err := each(raw, page.Data); err != nil || page.Next == nil || limit <= 0 {
			return err
		}
		cursor = *page.Next
	}
}

// listing is a list of the API as a table, or as it comes.
type listing[T any] struct {
	path    string
	query   url.Values
	limit   int
	json    bool
	columns string
}

func (l listing[T]) print(ctx context.Context, s streams, row func(t io.Writer, v T)) error {
	op, _, err := newOperator()
	if err != nil {
		return err
	}
	t := table(s.out)
	if !l.json {
		fmt.Fprintln(t, l.columns)
	}
	err = eachUpTo(ctx, op, l.limit, l.page, func(raw json.RawMessage, page []T) error {
		if l.json {
			return printRaw(s.out, raw)
		}
		for _, v := range page {
			row(t, v)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return t.Flush()
}

func (l listing[T]) page(cursor string, most int) string {
	q := maps.Clone(l.query)
	if q == nil {
		q = url.Values{}
	}
	q.Set("limit", strconv.Itoa(most))
	if cursor != "" {
		q.Set("cursor", cursor)
	}
	return l.path + "?" + q.Encode()
}

func printRaw(w io.Writer, raw json.RawMessage) error {
	_, err := fmt.Fprintf(w, "%s\n", raw)
	return err
}

// table lines up columns. What is written to it appears at Flush.
func table(w io.Writer) *tabwriter.Writer {
	return tabwriter.NewWriter(visibly{w}, 0, 4, 2, ' ', 0)
}

// visibly writes what is visible.
type visibly struct{ to io.Writer }

func (v visibly) Write(b []byte) (int, error) {
	if _, err := io.WriteString(v.to, visible(string(b))); err != nil {
		return 0, err
	}
	return len(b), nil
}

// age is a number of seconds for people.
func age(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	if d < 10*time.Second {
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// deref is what v points to, the zero value if it is nil.
func deref[T any](v *T) T {
	if v == nil {
		var zero T
		return zero
	}
	return *v
}

func orDash[T any](v *T) string {
	if v == nil {
		return "–"
	}
	return fmt.Sprint(*v)
}
