package main

import (
	"context"
	"errors"

	"trunkline.dev/trunkline/adapters/httpapi"
	"trunkline.dev/trunkline/adapters/kafka"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// feed is the feed of the log as the API asks for it.
type feed struct{ kafka *kafka.Feed }

var _ httpapi.Feed = feed{}

// feedBeginning is the text of the cursor before everything, which a reader of
// an empty log is given: to be answered "" would look like the end of a list.
const feedBeginning = "0"

func cursorText(c kafka.Cursor) string {
	if text := c.String(); text != "" {
		return text
	}
	return feedBeginning
}

func parseCursor(text string) (kafka.Cursor, error) {
	if text == feedBeginning {
		text = ""
	}
	c, err := kafka.ParseCursor(text)
	return c, feedErr(err)
}

func feedErr(err error) error {
	if errors.Is(err, kafka.ErrCursor) {
		return projections.ErrCursor
	}
	return err
}

// Read implements httpapi.Feed. One look at the log may find nothing among the
// facts of other orgs, so it looks on until something is found, the end is
// reached or the caller's time is nearly over.
func (f feed) Read(ctx context.Context, org, after string, types []string, limit int) ([]event.Recorded, string, error) {
	at, err := parseCursor(after)
	if err != nil {
		return nil, "", err
	}
	for range feedLooks {
		events, next, err := f.kafka.Read(ctx, org, at, types, limit)
		if err != nil {
			return nil, "", feedErr(err)
		}
		if len(events) > 0 || next.Equal(at) {
			return events, cursorText(next), nil
		}
		at = next
	}
	return nil, cursorText(at), nil
}

// feedLooks bounds one Read; the caller goes on from its cursor.
const feedLooks = 10

// End implements httpapi.Feed.
func (f feed) End(ctx context.Context) (string, error) {
	c, err := f.kafka.End(ctx)
	return cursorText(c), err
}

// Follow implements httpapi.Feed: each event with the cursor behind it.
func (f feed) Follow(ctx context.Context, org, after string, types []string, each func(event.Recorded, string) error) error {
	at, err := parseCursor(after)
	if err != nil {
		return err
	}
	err = f.kafka.Follow(ctx, org, at, types, func(events []event.Recorded, next kafka.Cursor) error {
		for i, e := range events {
			at = at.Past(e)
			if i == len(events)-1 {
				at = next
			}
			if err := each(e, cursorText(at)); err != nil {
				return err
			}
		}
		return nil
	})
	return feedErr(err)
}
