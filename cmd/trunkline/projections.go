package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// projectionsCommand operates the read models of a running hub over its API.
type projectionsCommand struct {
	Status   projectionsStatus   `cmd:"" help:"Show how the read models are doing."`
	Rebuild  projectionsRebuild  `cmd:"" help:"Build a read model anew beside the live one; switch when both are equal."`
	Diff     projectionsDiff     `cmd:"" help:"Compare the generation that is not live with the live one. Exit code 1 when they differ."`
	Switch   projectionsSwitch   `cmd:"" help:"Make the generation that was built live, equal or not."`
	Rollback projectionsRollback `cmd:"" help:"Make the former generation live again."`
	Drop     projectionsDrop     `cmd:"" help:"Delete the generations that are not live; ends a rebuild."`
	Parked   projectionsParked   `cmd:"" help:"List events set aside, try them again or leave one out for good."`
}

// projectionState is a read model in the API's words.
type projectionState struct {
	Name       string        `json:"name"`
	State      string        `json:"state"`
	LagEvents  int64         `json:"lag_events"`
	LagSeconds float64       `json:"lag_seconds"`
	Parked     int64         `json:"parked"`
	Generation int           `json:"generation"`
	Error      *string       `json:"error"`
	Rebuild    *rebuildState `json:"rebuild"`
}

type projectionsStatus struct {
	JSON bool `name:"json" help:"Print the API's answer."`
}

// Run prints one line for each read model.
func (c projectionsStatus) Run(ctx context.Context, s streams) error {
	var answer struct {
		Data []projectionState `json:"data"`
	}
	return show(ctx, s, question{method: http.MethodGet, path: "/v1/projections", json: c.JSON}, &answer, func() error {
		t := table(s.out)
		fmt.Fprintln(t, "NAME\tSTATE\tLAG\tAGE\tPARKED\tGENERATION\tERROR")
		for _, p := range answer.Data {
			fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%d\t%d\t%s\n", p.Name, p.State, p.LagEvents, age(p.LagSeconds), p.Parked, p.Generation, deref(p.Error))
		}
		return t.Flush()
	})
}

type projectionsDiff struct {
	Name string `arg:"" help:"Name of the read model, as in status."`
	JSON bool   `name:"json" help:"Print the API's answer."`
}

// errDiffers makes the exit code of a difference.
var errDiffers = errors.New("the generations differ")

// Run prints the digests of each table side by side.
func (c projectionsDiff) Run(ctx context.Context, s streams) error {
	op, _, err := newOperator()
	if err != nil {
		return err
	}
	op.http = &http.Client{} // comparing reads every row: as long as it takes
	type digest struct {
		Rows int64  `json:"rows"`
		Hash string `json:"hash"`
	}
	var answer struct {
		Equal  bool `json:"equal"`
		Tables []struct {
			Table string `json:"table"`
			Equal bool   `json:"equal"`
			Live  digest `json:"live"`
			Other digest `json:"other"`
		} `json:"tables"`
		Differences []string `json:"differences"`
	}
	q := question{method: http.MethodGet, path: pathOf("projections", c.Name, "diff"), json: c.JSON}
	err = op.show(ctx, s, q, &answer, func() error {
		t := table(s.out)
		fmt.Fprintln(t, "TABLE\tLIVE ROWS\tOTHER ROWS\tLIVE HASH\tOTHER HASH\t")
		for _, d := range answer.Tables {
			verdict := "equal"
			if !d.Equal {
				verdict = "DIFFERS"
			}
			fmt.Fprintf(t, "%s\t%d\t%d\t%s\t%s\t%s\n", d.Table, d.Live.Rows, d.Other.Rows, d.Live.Hash, d.Other.Hash, verdict)
		}
		if err := t.Flush(); err != nil {
			return err
		}
		for _, d := range answer.Differences {
			fmt.Fprintln(s.out, d)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if !answer.Equal {
		return errDiffers
	}
	return nil
}

type projectionsSwitch struct {
	Name string `arg:"" help:"Name of the read model, as in status."`
	JSON bool   `name:"json" help:"Print the API's answer."`
}

// Run switches to the generation that was built.
func (c projectionsSwitch) Run(ctx context.Context, s streams) error {
	return decide(ctx, s, c.Name, "switch", c.JSON)
}

type projectionsRollback struct {
	Name string `arg:"" help:"Name of the read model, as in status."`
	JSON bool   `name:"json" help:"Print the API's answer."`
}

// Run switches back to the former generation.
func (c projectionsRollback) Run(ctx context.Context, s streams) error {
	return decide(ctx, s, c.Name, "rollback", c.JSON)
}

type projectionsDrop struct {
	Name string `arg:"" help:"Name of the read model, as in status."`
	JSON bool   `name:"json" help:"Print the API's answer."`
}

// Run deletes the generations that are not live.
func (c projectionsDrop) Run(ctx context.Context, s streams) error {
	return decide(ctx, s, c.Name, "drop", c.JSON)
}

// decide tells the hub what was decided about a read model.
func decide(ctx context.Context, s streams, name, action string, asJSON bool) error {
	var after projectionState
	q := question{method: http.MethodPost, path: pathOf("projections", name, action), json: asJSON}
	return show(ctx, s, q, &after, func() error {
		_, err := fmt.Fprintf(s.out, "%s: generation %d is live, state %s\n", after.Name, after.Generation, after.State)
		return err
	})
}

type projectionsParked struct {
	Name   string `arg:"" help:"Name of the read model, as in status."`
	Retry  string `xor:"do" placeholder:"ENTITY" help:"Fold the parked events of this entity again (<org>/<id>)."`
	Skip   string `xor:"do" placeholder:"POSITION" help:"Leave this event out for good; needs --reason."`
	Reason string `placeholder:"TEXT" help:"Why an event is skipped; kept."`
	JSON   bool   `name:"json" help:"Print the API's answer."`
}

// Run lists, retries or skips.
func (c projectionsParked) Run(ctx context.Context, s streams) error {
	switch {
	case c.Skip != "" && c.Reason == "":
		return fmt.Errorf("%w: --skip needs --reason", errUsage)
	case c.Reason != "" && c.Skip == "":
		return fmt.Errorf("%w: --reason goes with --skip", errUsage)
	}
	op, _, err := newOperator()
	if err != nil {
		return err
	}
	switch {
	case c.Retry != "":
		return c.release(ctx, s, op, "retry", map[string]string{"entity": c.Retry})
	case c.Skip != "":
		return c.release(ctx, s, op, "skip", map[string]string{"position": c.Skip, "reason": c.Reason})
	}
	return c.list(ctx, s, op)
}

func (c projectionsParked) release(ctx context.Context, s streams, op *operator, action string, body map[string]string) error {
	var answer struct {
		Applied int     `json:"applied"`
		Parked  int     `json:"parked"`
		Reason  *string `json:"reason"`
	}
	q := question{method: http.MethodPost, path: pathOf("projections", c.Name, "parked/"+action), body: body, json: c.JSON}
	return op.show(ctx, s, q, &answer, func() error {
		fmt.Fprintf(s.out, "%d applied, %d stay parked\n", answer.Applied, answer.Parked)
		if answer.Reason != nil {
			fmt.Fprintln(s.out, *answer.Reason)
		}
		if answer.Applied > 0 && c.Name != "deliveries" {
			_, entity, ok := strings.Cut(c.Retry, "/")
			if !ok {
				entity = "ID"
			}
			fmt.Fprintf(s.out, "webhooks are not told of what was parked by this; to tell them: trunkline replay run --webhook '*' --entity %s --from TIME\n", entity)
		}
		return nil
	})
}

// parkedEvent is an event that was set aside, in the API's words.
type parkedEvent struct {
	Position string  `json:"position"`
	Entity   *string `json:"entity"`
	Type     string  `json:"type"`
	EventID  string  `json:"event_id"`
	Behind   bool    `json:"behind"`
	Reason   string  `json:"reason"`
}

// list prints all parked events, page by page.
func (c projectionsParked) list(ctx context.Context, s streams, op *operator) error {
	t := table(s.out)
	if !c.JSON {
		fmt.Fprintln(t, "POSITION\tENTITY\tTYPE\tEVENT\tBEHIND\tREASON")
	}
	at := func(cursor string) string {
		return pathOf("projections", c.Name, "parked?limit=200&cursor="+url.QueryEscape(cursor))
	}
	err := eachPage(ctx, op, at, func(raw json.RawMessage, page []parkedEvent) error {
		if c.JSON {
			return printRaw(s.out, raw)
		}
		for _, e := range page {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", e.Position, orDash(e.Entity), e.Type, e.EventID, strconv.FormatBool(e.Behind), e.Reason)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return t.Flush()
}
