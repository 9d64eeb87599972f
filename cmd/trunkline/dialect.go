package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"trunkline.dev/trunkline/adapters/dialects"
	"trunkline.dev/trunkline/domain/catalog"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

// dialectCommand looks at webhook formats: what an event becomes, why a
// signature does not verify.
type dialectCommand struct {
	Render dialectRender `cmd:"" help:"Show what an event becomes in a webhook format."`
	Verify dialectVerify `cmd:"" help:"Check a received webhook, and name the mistake if it does not verify."`
}

type dialectRender struct {
	Event    string `arg:"" help:"A sample's name (an event of the dialect, such as call_logs), a file of CloudEvents (- for standard input), or the id of an event in the hub."`
	As       string `required:"" help:"The dialect: ${dialects}."`
	Secret   string `env:"TRUNKLINE_WEBHOOK_SECRET" help:"Sign with this secret."`
	Provider string `enum:"zapier,custom," default:"" help:"dialnote's provider: zapier or custom."`
	IDs      string `name:"ids" enum:"hub,source" default:"hub" help:"Whose ids of calls and leads the bodies carry: hub or source."`
	Body     bool   `help:"Print bodies only, one a line."`
	JSON     bool   `name:"json" help:"Print JSON."`
}

// Run prints each request that the event makes, or says that it makes none.
func (c dialectRender) Run(ctx context.Context, s streams) error {
	d, err := dialectOf(c.As)
	if err != nil {
		return err
	}
	made, err := c.made(ctx, d)
	if err != nil {
		return err
	}
	shown := make([]shownRequest, 0, len(made))
	for i, o := range made {
		headers, err := o.request(d, c.Secret, time.Now())
		switch {
		case err != nil:
			return err
		case c.JSON:
			shown = append(shown, showRequest(o.Name, headers, o.Body))
			continue
		case c.Body:
			_, err = fmt.Fprintf(s.out, "%s\n", o.Body)
		default:
			if i > 0 {
				fmt.Fprintln(s.out)
			}
			err = printRequest(s.out, headers, o.Body)
		}
		if err != nil {
			return err
		}
	}
	if c.JSON {
		return printJSON(s.out, shown)
	}
	if len(made) == 0 {
		fmt.Fprintf(s.err, "%s makes no webhook of it\n", d.Name())
	}
	return nil
}

func (c dialectRender) made(ctx context.Context, d dialects.Dialect) ([]outgoing, error) {
	e := delivery.Endpoint{ID: "preview", Org: sampleOrg, Dialect: d.Name(), Provider: c.Provider, IDs: c.IDs}
	if slices.Contains(d.Events(), c.Event) {
		o, err := sampleOf(d, c.Event, e, time.Now())
		return []outgoing{o}, err
	}
	if c.Event == "-" {
		b, err := readInput(ctx)
		if err != nil {
			return nil, err
		}
		return renderEvents(d, e, bytes.NewReader(b))
	}
	f, err := os.Open(c.Event)
	if err == nil {
		defer f.Close()
		return renderEvents(d, e, f)
	}
	if !errors.Is(err, os.ErrNotExist) || strings.HasSuffix(c.Event, ".json") {
		return nil, misused{err}
	}
	made, err := c.asked(ctx, d)
	if err != nil {
		return nil, fmt.Errorf("%s is no event of %s (%s) and no file; asking the hub for it: %w", c.Event, d.Name(), strings.Join(d.Events(), ", "), err)
	}
	return made, nil
}

// asked has the hub render one of its events.
func (c dialectRender) asked(ctx context.Context, d dialects.Dialect) ([]outgoing, error) {
	op, _, err := newOperator()
	if err != nil {
		return nil, err
	}
	q := url.Values{"dialect": {d.Name()}, "ids": {c.IDs}}
	if c.Provider != "" {
		q.Set("provider", c.Provider)
	}
	var answer struct {
		Data []previewed `json:"data"`
	}
	if err := op.call(ctx, http.MethodGet, pathOf("events", c.Event, "webhooks?"+q.Encode()), nil, &answer); err != nil {
		return nil, err
	}
	made := make([]outgoing, len(answer.Data))
	for i, p := range answer.Data {
		made[i] = p.outgoing()
	}
	return made, nil
}

// renderEvents plays CloudEvents in their order and returns what they make. It
// takes one, an array, one after the other, and the answer of GET /v1/events.
func renderEvents(d dialects.Dialect, e delivery.Endpoint, r io.Reader) ([]outgoing, error) {
	events, err := readEvents(r)
	if err != nil {
		return nil, misused{err}
	}
	stage := dialects.NewStage()
	var all []outgoing
	for i, ev := range events {
		v, err := stage.Fold(ev)
		if err != nil {
			return nil, misused{fmt.Errorf("event %d: %w", i+1, err)}
		}
		messages, err := d.Render(v, e)
		if err != nil {
			return nil, fmt.Errorf("rendering event %d: %w", i+1, err)
		}
		for _, m := range messages {
			all = append(all, outgoing{
				ID: delivery.ID(ev.ID, e.ID, m.Part), EventType: string(ev.Type), Name: m.Name, Sequence: v.Version, Headers: m.Headers, Body: m.Body,
			})
		}
	}
	return all, nil
}

// cloudEvent is what is read of a CloudEvent in structured JSON.
type cloudEvent struct {
	ID       string          `json:"id"`
	Type     event.Type      `json:"type"`
	Source   string          `json:"source"`
	Subject  string          `json:"subject"`
	Time     time.Time       `json:"time"`
	Recorded time.Time       `json:"recordedtime"`
	Org      string          `json:"org"`
	Data     json.RawMessage `json:"data"`
}

func readEvents(r io.Reader) ([]event.Event, error) {
	var all []event.Event
	dec := json.NewDecoder(r)
	for {
		var raw json.RawMessage
		if err := dec.Decode(&raw); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("reading events: %w", err)
		}
		list := []json.RawMessage{raw}
		var answer struct {
			SpecVersion string            `json:"specversion"`
			Type        string            `json:"type"`
			Data        []json.RawMessage `json:"data"`
		}
		if raw[0] == '[' {
			if err := json.Unmarshal(raw, &list); err != nil {
				return nil, fmt.Errorf("reading events: %w", err)
			}
		} else if json.Unmarshal(raw, &answer) == nil && answer.Type == "" && answer.SpecVersion == "" && answer.Data != nil {
			list = answer.Data
		}
		for _, one := range list {
			e, err := readEvent(one, len(all)+1)
			if err != nil {
				return nil, err
			}
			all = append(all, e)
		}
	}
	if len(all) == 0 {
		return nil, errors.New("there is no event")
	}
	return all, nil
}

func readEvent(raw json.RawMessage, n int) (event.Event, error) {
	var ce cloudEvent
	if err := json.Unmarshal(raw, &ce); err != nil {
		return event.Event{}, fmt.Errorf("event %d: %w", n, err)
	}
	if !catalog.Known(ce.Type) {
		return event.Event{}, fmt.Errorf("event %d: there is no type %q, such as call.ended.v1", n, ce.Type)
	}
	if len(bytes.TrimSpace(ce.Data)) == 0 {
		return event.Event{}, fmt.Errorf("event %d: data is missing", n)
	}
	if ce.ID == "" {
		ce.ID = fmt.Sprintf("event-%d", n)
	}
	if ce.Subject == "" {
		ce.Subject = "entity-1"
	}
	if ce.Time.IsZero() {
		ce.Time = time.Now()
	}
	if ce.Recorded.IsZero() {
		ce.Recorded = ce.Time
	}
	return event.Event{Data: ce.Data, Envelope: event.Envelope{
		ID: ce.ID, Type: ce.Type, Source: ce.Source, Subject: ce.Subject, Org: ce.Org,
		OccurredAt: event.Time(ce.Time), RecordedAt: event.Time(ce.Recorded),
	}}, nil
}
