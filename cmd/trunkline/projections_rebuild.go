package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// rebuildState is a rebuild in the API's words.
type rebuildState struct {
	Projection string   `json:"projection"`
	Generation int      `json:"generation"`
	Stage      string   `json:"stage"`
	Switch     string   `json:"switch"`
	Detail     *string  `json:"detail"`
	Done       int64    `json:"done"`
	Total      int64    `json:"total"`
	Rate       float64  `json:"rate"`
	EtaSeconds *float64 `json:"eta_seconds"`
}

type projectionsRebuild struct {
	Name     string        `arg:"" help:"Name of the read model, as in status."`
	Wait     bool          `help:"Wait until the hub has switched (with --no-switch: until it is ready)."`
	NoSwitch bool          `help:"Do not switch by itself: look at diff first, then switch."`
	JSON     bool          `name:"json" help:"Print the API's answer, and no progress."`
	Every    time.Duration `default:"250ms" hidden:"" help:"How often to ask the hub while waiting."`
	Patience time.Duration `default:"1m" hidden:"" help:"How long the hub may be away while waiting."`
}

// Run begins a rebuild and, with --wait, sees it to its end.
func (c projectionsRebuild) Run(ctx context.Context, s streams) error {
	op, _, err := newOperator()
	if err != nil {
		return err
	}
	body := map[string]string{"switch": "auto"}
	if c.NoSwitch {
		body["switch"] = "manual"
	}
	var begun rebuildState
	raw, err := ask(ctx, op, http.MethodPost, pathOf("projections", c.Name, "rebuild"), body, &begun)
	if err != nil {
		return err
	}
	if !c.Wait {
		if c.JSON {
			return printRaw(s.out, raw)
		}
		_, err := fmt.Fprintf(s.out, "rebuilding %s as generation %d; see: trunkline projections status\n", begun.Projection, begun.Generation)
		return err
	}
	show := showProgress(s.err, c.JSON, begun.progress())
	raw, last, err := c.await(ctx, op, begun, func(r rebuildState) { show.update(r.progress()) })
	if err == nil {
		err = verdict(last, c.NoSwitch)
	}
	show.end(err == nil)
	if c.JSON && raw != nil {
		return errors.Join(printRaw(s.out, raw), err)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "%s: generation %d is %s\n", last.Projection, last.Generation, last.Stage)
	return err
}

// await asks until the rebuild does not go on by itself.
func (c projectionsRebuild) await(ctx context.Context, op *operator, begun rebuildState, each func(rebuildState)) (raw []byte, last rebuildState, err error) {
	w := waiting{what: "the rebuild of " + c.Name, path: pathOf("projections", c.Name, ""), every: c.Every, patience: c.Patience}
	raw, err = await(ctx, op, w, func(p projectionState) (over bool, err error) {
		if p.Rebuild == nil || p.Rebuild.Generation != begun.Generation {
			return true, fmt.Errorf("the rebuild of %s as generation %d was replaced by another", c.Name, begun.Generation)
		}
		last = *p.Rebuild
		each(last)
		return last.Stage != "building" && last.Stage != "comparing", nil
	})
	return raw, last, err
}

// verdict is nil when the rebuild ended as it was asked to.
func verdict(r rebuildState, noSwitch bool) error {
	if r.Stage == "switched" || (noSwitch && r.Stage == "ready") {
		return nil
	}
	detail := ""
	if r.Detail != nil {
		detail = ": " + *r.Detail
	}
	switch r.Stage {
	case "differs":
		return fmt.Errorf("generation %d of %s differs from the live one and was not switched to (see: trunkline projections diff %s)%s", r.Generation, r.Projection, r.Projection, detail)
	case "ready":
		return fmt.Errorf("generation %d of %s is ready, but was not switched to", r.Generation, r.Projection)
	}
	return fmt.Errorf("the rebuild of %s ended as %s%s", r.Projection, r.Stage, detail)
}

// progress is how far a rebuild is.
func (r rebuildState) progress() progressState {
	return progressState{title: fmt.Sprintf("%s generation %d", r.Projection, r.Generation), stage: r.Stage, done: r.Done, total: r.Total, unit: "events", pace: pace(r)}
}

// pace is the rate and the time left, as far as they are known.
func pace(r rebuildState) string {
	if r.Rate <= 0 {
		return "– events/s"
	}
	text := fmt.Sprintf("%.0f events/s", r.Rate)
	if r.EtaSeconds != nil {
		text += ", " + age(*r.EtaSeconds) + " left"
	}
	return text
}
