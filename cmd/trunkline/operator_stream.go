package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// errStream is a stream that broke off: it is opened again.
var errStream = errors.New("the stream broke off")

// follow reads a stream of server-sent events of the hub until ctx ends, and
// hands over the data of each event. When the hub goes away it tries again from
// where it was; what the hub refuses is an error.
func (o *operator) follow(ctx context.Context, path string, q url.Values, after string, say io.Writer, take func(context.Context, []byte) error) error {
	f := follower{operator: o, path: path, query: q, after: after, take: take}
	for pause := 250 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		taken := f.taken
		err := f.once(ctx)
		switch {
		case ctx.Err() != nil:
			return nil // somebody has seen enough
		case !errors.Is(err, errStream):
			return err
		}
		if f.taken > taken {
			pause = 250 * time.Millisecond
		}
		fmt.Fprintf(say, "%v; trying again in %s\n", err, pause)
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// follower is where somebody is in a stream.
type follower struct {
	*operator
	path  string
	query url.Values
	// after is the cursor to begin behind, until lastID is known.
	after, lastID string
	taken         int
	take          func(context.Context, []byte) error
}

// once reads the stream until it ends.
func (f *follower) once(ctx context.Context) error {
	q := url.Values{}
	for k, v := range f.query {
		q[k] = v
	}
	if f.lastID == "" && f.after != "" {
		q.Set("after", f.after)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.base+f.path+"?"+q.Encode(), nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+f.key)
	if f.lastID != "" {
		req.Header.Set("Last-Event-ID", f.lastID)
	}
	resp, err := f.http.Do(req)
	if err != nil {
		return fmt.Errorf("%w: %w", errStream, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		err := readProblem(resp)
		if resp.StatusCode >= 500 {
			return fmt.Errorf("%w: %w", errStream, err)
		}
		return err
	}
	return readSSE(resp.Body, func(id string, data []byte) error {
		if err := f.take(ctx, data); err != nil {
			return err
		}
		f.taken++
		if id != "" {
			f.lastID = id
		}
		return nil
	})
}

// maxSSELine bounds a line of a stream: a body of a webhook and what is around it.
const maxSSELine = 8 << 20

// readSSE reads server-sent events and hands over each that has data.
func readSSE(r io.Reader, each func(id string, data []byte) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxSSELine)
	var id string
	var data []string
	for lines.Scan() {
		line := lines.Text()
		if line == "" {
			if data != nil {
				if err := each(id, []byte(strings.Join(data, "\n"))); err != nil {
					return err
				}
			}
			id, data = "", nil
			continue
		}
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "id":
			id = value
		case "data":
			data = append(data, value)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%w: %w", errStream, err)
	}
	return errStream
}
