package connectors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/delivery"
)

// attempt is one try to do what a delivery asks for, or one check.
type attempt struct {
	set      *Set
	endpoint delivery.Endpoint
	tape     *tape
	// doc is what is known of the call, and look the same for templates; zero in a
	// check.
	doc        document
	look       lookup
	deliveryID string
	// sequence is the version of the call that the delivery tells of, 0 if not known.
	sequence int64
}

func (s *Set) begin(e delivery.Endpoint) *attempt {
	t := newTape(s.outward(), s.cfg.Clock)
	for _, v := range e.Credentials {
		t.hide(v)
	}
	return &attempt{set: s, endpoint: e, tape: t}
}

// config reads the settings of an endpoint. They were checked when they were
// set; what a newer version wrote is an error here.
func config[T any](e delivery.Endpoint) (T, error) {
	var c T
	if len(e.Config) == 0 {
		return c, nil
	}
	if err := json.Unmarshal(e.Config, &c); err != nil {
		return c, failure(0, "the settings of the connector cannot be read: %s", err)
	}
	return c, nil
}

// Outcome is how an attempt went.
type Outcome struct {
	// StatusCode is 200, or the answer that it failed at, 0 if there was none; 429
	// also stands for other ways of asking for less.
	StatusCode int
	// Steps says what was done, as JSON.
	Steps []byte
	// Error says in words why it failed; empty on success.
	Error string
	// RetryAfter is when the other system wants to be asked again; zero if it did
	// not say.
	RetryAfter time.Time
}

// Deliver does what a delivery of a worker asks for.
func (s *Set) Deliver(ctx context.Context, e delivery.Endpoint, d delivery.Delivery) Outcome {
	a := s.begin(e)
	a.deliveryID, a.sequence = d.ID, d.Sequence
	w, ok := s.byName[e.Connector].(worker)
	if !ok {
		return Outcome{Error: fmt.Sprintf("there is no connector %q", e.Connector)}
	}
	err := a.read(d.Body)
	if err == nil {
		err = w.deliver(ctx, a)
	}
	return a.outcome(ctx, err)
}

func (a *attempt) read(body []byte) (err error) {
	if err := json.Unmarshal(body, &a.doc); err != nil {
		return failure(0, "the delivery cannot be read: %s", err)
	}
	a.look, err = a.doc.lookup()
	return err
}

func (a *attempt) outcome(ctx context.Context, err error) Outcome {
	if err == nil {
		return Outcome{StatusCode: http.StatusOK, Steps: a.tape.transcript()}
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	a.tape.failed(err)
	o := Outcome{Steps: a.tape.transcript()}
	o.Error = a.clean(words(err))
	var p *problem
	if errors.As(err, &p) {
		o.StatusCode, o.RetryAfter = p.status, p.retryAfter
		if p.hint != "" {
			o.Error += ". " + p.hint
		}
	}
	switch {
	case o.StatusCode >= 200 && o.StatusCode < 300, // a "yes" that was not one
		o.StatusCode == http.StatusGone && !p.gone:
		o.StatusCode = 0
	}
	return o
}

func (a *attempt) clean(s string) string {
	a.tape.mu.Lock()
	defer a.tape.mu.Unlock()
	return strings.NewReplacer(a.tape.struck()...).Replace(s)
}

// Report is the result of a check.
type Report struct {
	OK    bool
	Steps []CheckStep
}

// CheckStep is one thing that a check looked at.
type CheckStep struct {
	Name string
	OK   bool
	// Detail says what was found; Hint what to do about it.
	Detail, Hint string
}

// Check tries whether a connector can do its work. It leaves nothing behind in
// the other system.
func (s *Set) Check(ctx context.Context, e delivery.Endpoint) Report {
	a := s.begin(e)
	k, ok := s.byName[e.Connector]
	if !ok {
		a.tape.step("settings")
		a.tape.failed(failure(0, "there is no connector %q", e.Connector))
		return a.report()
	}
	var f faults
	prepared := e
	k.prepare(&f, &prepared)
	a.tape.step("settings")
	if len(f.list) > 0 {
		a.tape.failed(failure(0, "%s", (&commands.Invalid{Errors: f.list}).Error()))
		return a.report()
	}
	a.tape.done("complete")
	k.inspect(ctx, a)
	return a.report()
}

func (a *attempt) report() Report {
	r := Report{OK: true}
	a.tape.mu.Lock()
	defer a.tape.mu.Unlock()
	clean := strings.NewReplacer(a.tape.struck()...)
	for _, s := range a.tape.steps {
		c := CheckStep{Name: s.Name, OK: s.Error == "", Detail: clean.Replace(s.Result), Hint: s.Hint}
		if !c.OK {
			r.OK, c.Detail = false, clean.Replace(s.Error)
		}
		r.Steps = append(r.Steps, c)
	}
	return r
}

// try makes a step of a check; it reports whether the check may go on.
func (a *attempt) try(name string, do func() (found string, err error)) bool {
	a.tape.step("%s", name)
	found, err := do()
	if err != nil {
		a.tape.failed(err)
		return false
	}
	a.tape.done("%s", found)
	return true
}

// again does an upload once more when its token was refused: the body of an
// upload cannot be sent twice, so it is begun anew.
func again(upload func() error) error {
	err := upload()
	if p := (*problem)(nil); errors.As(err, &p) && p.status == http.StatusUnauthorized {
		return upload()
	}
	return err
}

// once does something that cannot be asked for by a key of ours in the other
// system, and remembers its result. T is that result.
func once[T any](ctx context.Context, a *attempt, name string, do func() (T, error)) (result T, before bool, err error) {
	if result, before, err = remembered[T](ctx, a, name); err != nil || before {
		return result, before, err
	}
	if result, err = do(); err != nil {
		return result, false, err
	}
	return result, false, a.remember(ctx, name, result)
}

func remembered[T any](ctx context.Context, a *attempt, name string) (result T, found bool, err error) {
	kept, err := a.set.cfg.Steps.Get(ctx, a.endpoint.Org, a.endpoint.ID, name)
	if err != nil || kept == nil {
		return result, false, err
	}
	if err := json.Unmarshal(kept, &result); err != nil {
		return result, false, fmt.Errorf("reading what was done: %w", err)
	}
	return result, true, nil
}

// remember keeps a result although the attempt may have run out of time: what
// was done must not be done again.
func (a *attempt) remember(ctx context.Context, name string, result any) error {
	text, err := json.Marshal(result)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return a.set.cfg.Steps.Put(ctx, a.endpoint.Org, a.endpoint.ID, name, text)
}
