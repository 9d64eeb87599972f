package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"trunkline.dev/trunkline/adapters/dialects"
	"trunkline.dev/trunkline/adapters/webhooks"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

// outgoing is a webhook that a command shows or sends by itself, without a hub
// that owes it to anybody.
type outgoing struct {
	// ID is its webhook-id.
	ID string
	// EventType is our wire name of the event, Name the dialect's.
	EventType, Name string
	Sequence        int64
	Headers         []delivery.Header
	Body            []byte
}

// sampleOrg stands for the organisation in made-up webhooks.
const sampleOrg = "sample-org"

// sampleOf is a made-up webhook of an event of a dialect.
func sampleOf(d dialects.Dialect, name string, e delivery.Endpoint, now time.Time) (outgoing, error) {
	m, err := d.Sample(name, e, now)
	if err != nil {
		return outgoing{}, misused{err}
	}
	return outgoing{ID: event.DeriveID("sample", uuid.NewString()), EventType: string(m.EventType), Name: m.Name, Sequence: 1, Headers: m.Headers, Body: m.Body}, nil
}

// request are the headers of its request, as the hub would send them at a time.
// Without a secret there are no signatures.
func (o outgoing) request(d dialects.Dialect, secret string, now time.Time) ([]delivery.Header, error) {
	h := []delivery.Header{
		{Name: "Content-Type", Value: d.ContentType()},
		{Name: "User-Agent", Value: "Trunkline/" + version},
		{Name: dialects.HeaderWebhookID, Value: o.ID},
		{Name: "trunkline-event-type", Value: o.EventType},
		{Name: "trunkline-sequence", Value: strconv.FormatInt(o.Sequence, 10)},
	}
	h = append(h, o.Headers...)
	if secret == "" {
		return h, nil
	}
	standard, err := dialects.SignStandard(o.ID, now, o.Body, secret)
	if err != nil {
		return nil, misused{err}
	}
	for _, s := range standard {
		if s.Name != dialects.HeaderWebhookID {
			h = append(h, s)
		}
	}
	return append(h, d.Sign(secret, o.Body)...), nil
}

// post sends it to a URL of the caller's choice. The hub's guard does not apply:
// this process is the caller's own.
func (o outgoing) post(ctx context.Context, sender *webhooks.Sender, d dialects.Dialect, url, secret string) (webhooks.Result, error) {
	headers, err := o.request(d, secret, time.Now())
	if err != nil {
		return webhooks.Result{}, err
	}
	return sender.Attempt(ctx, webhooks.Request{URL: url, Headers: headers, Body: o.Body, Timeout: d.Profile().Timeout}), nil
}

// ownSender sends from the caller's machine to wherever the caller says.
func ownSender() (*webhooks.Sender, error) {
	everywhere := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
	return webhooks.NewSender(webhooks.SenderConfig{Guard: webhooks.NewGuard(everywhere, true), IdlePerHost: 1})
}

// newSecret makes a signing secret of the form that the hub's have.
func newSecret() (string, error) {
	var b [32]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", fmt.Errorf("making a secret: %w", err)
	}
	return dialects.SecretPrefix + base64.StdEncoding.EncodeToString(b[:]), nil
}

// printRequest writes a request as it would go over the wire.
func printRequest(w io.Writer, headers []delivery.Header, body []byte) error {
	var b strings.Builder
	for _, h := range headers {
		fmt.Fprintf(&b, "%s: %s\n", h.Name, h.Value)
	}
	fmt.Fprintf(&b, "\n%s\n", body)
	_, err := io.WriteString(w, b.String())
	return err
}

// shownRequest is a request for --json.
type shownRequest struct {
	Event   string            `json:"dialect_event"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
}

func showRequest(name string, headers []delivery.Header, body []byte) shownRequest {
	s := shownRequest{Event: name, Headers: make(map[string]string, len(headers)), Body: string(body)}
	for _, h := range headers {
		s.Headers[h.Name] = h.Value
	}
	return s
}

// previewed is a webhook that a hub made, in the API's words.
type previewed struct {
	ID        string            `json:"id"`
	EventID   string            `json:"event_id"`
	EventType string            `json:"event_type"`
	Sequence  int64             `json:"sequence"`
	Name      string            `json:"dialect_event"`
	Headers   map[string]string `json:"headers"`
	Body      string            `json:"body"`
}

func (p previewed) outgoing() outgoing {
	o := outgoing{ID: p.ID, EventType: p.EventType, Name: p.Name, Sequence: p.Sequence, Body: []byte(p.Body)}
	o.Headers = headerList(p.Headers)
	return o
}

// headerList is a map of headers in the order of their names.
func headerList(m map[string]string) []delivery.Header {
	var list []delivery.Header
	for _, name := range slices.Sorted(maps.Keys(m)) {
		list = append(list, delivery.Header{Name: name, Value: m[name]})
	}
	return list
}

// dialectOf finds a dialect, or says which there are.
func dialectOf(name string) (dialects.Dialect, error) {
	d, ok := dialects.Get(name)
	if !ok {
		return nil, fmt.Errorf("%w: there is no dialect %q; there are %s", errUsage, name, strings.Join(dialects.Names(), ", "))
	}
	return d, nil
}

// checkURL refuses what nothing can be posted to, such as an address without http://.
func checkURL(flag, raw string) error {
	if u, err := url.Parse(raw); err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" {
		return nil
	}
	return fmt.Errorf("%w: %s: expected a URL such as http://127.0.0.1:3000/hooks, got %q", errUsage, flag, raw)
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
