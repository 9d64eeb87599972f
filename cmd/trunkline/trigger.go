package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"trunkline.dev/trunkline/domain/delivery"
)

// triggerCommand sends a made-up event: to a URL from here, or through the hub
// to one of its webhooks.
type triggerCommand struct {
	Event    string `arg:"" help:"An event of the dialect, such as call_logs."`
	Dialect  string `help:"The dialect, with --url: ${dialects}."`
	URL      string `name:"url" xor:"where" required:"" help:"Send it to this URL from here."`
	Webhook  string `xor:"where" required:"" help:"Have the hub send it to this webhook, signed with its secret."`
	Secret   string `env:"TRUNKLINE_WEBHOOK_SECRET" help:"Sign with this secret; default: one that is made up and printed."`
	Provider string `enum:"zapier,custom," default:"" help:"dialnote's provider: zapier or custom."`
}

// errRefused makes the exit code of a receiver that did not take it.
var errRefused = errors.New("the receiver did not take it")

// Run sends it once and shows request and answer.
func (c triggerCommand) Run(ctx context.Context, s streams) error {
	if c.Webhook != "" {
		return c.throughHub(ctx, s)
	}
	if err := checkURL("--url", c.URL); err != nil {
		return err
	}
	d, err := dialectOf(c.Dialect)
	if err != nil {
		return err
	}
	secret := c.Secret
	if secret == "" {
		if secret, err = newSecret(); err != nil {
			return err
		}
		fmt.Fprintf(s.err, "signed with %s\n", secret)
	}
	o, err := sampleOf(d, c.Event, delivery.Endpoint{ID: "trigger", Org: sampleOrg, Provider: c.Provider}, time.Now())
	if err != nil {
		return err
	}
	sender, err := ownSender()
	if err != nil {
		return err
	}
	defer sender.Close()
	headers, err := o.request(d, secret, time.Now())
	if err != nil {
		return err
	}
	if err := printRequest(s.out, headers, o.Body); err != nil {
		return err
	}
	res, err := o.post(ctx, sender, d, c.URL, secret)
	if err != nil {
		return err
	}
	return printAnswer(s.out, res.StatusCode, float64(res.Duration.Microseconds())/1000, res.Error, string(res.Body))
}

func (c triggerCommand) throughHub(ctx context.Context, s streams) error {
	op, _, err := newOperator()
	if err != nil {
		return err
	}
	type message struct {
		Headers map[string]string `json:"headers"`
		Body    string            `json:"body"`
	}
	var answer struct {
		StatusCode *int     `json:"status_code"`
		DurationMS float64  `json:"duration_ms"`
		Request    message  `json:"request"`
		Response   *message `json:"response"`
		Error      *string  `json:"error"`
	}
	if err := op.call(ctx, http.MethodPost, pathOf("webhooks", c.Webhook, "test"), map[string]string{"event": c.Event}, &answer); err != nil {
		return err
	}
	if err := printRequest(s.out, headerList(answer.Request.Headers), []byte(answer.Request.Body)); err != nil {
		return err
	}
	return printAnswer(s.out, deref(answer.StatusCode), answer.DurationMS, deref(answer.Error), deref(answer.Response).Body)
}

// printAnswer tells what the receiver said; that it did not take the webhook is
// an error.
func printAnswer(w io.Writer, status int, ms float64, said, body string) error {
	code := "no answer"
	if status != 0 {
		code = fmt.Sprint(status)
	}
	if _, err := fmt.Fprintf(w, "\n%s in %.1f ms\n", code, ms); err != nil {
		return err
	}
	if body != "" {
		fmt.Fprintln(w, visible(body))
	}
	if said != "" {
		return fmt.Errorf("%w: %s", errRefused, said)
	}
	return nil
}
