package connectors

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

// dylr is the format that Zapier gets.
const dylr = "dylr"

// zapierKind posts to a Catch Hook of Webhooks by Zapier (seed 000, tab Zapier):
// dylr's body, and the fields that Zaps use most once more at the top, because a
// field of the top level is found and mapped without unfolding. Zapier fetches
// recording_url itself, as a File URL.
type zapierKind struct{ set *Set }

type zapierConfig struct {
	// URL is that of the catch hook.
	URL string `json:"url"`
}

func (zapierKind) name() string { return "zapier" }

func (zapierKind) triggers() triggers {
	t := reports(1)
	t.links, t.once = true, true
	return t
}

func (k zapierKind) prepare(f *faults, e *delivery.Endpoint) {
	c := read[zapierConfig](f, e)
	f.credentials(e, nil, nil)
	e.URL = c.URL
	f.target(k.set, c.URL)
	if u, err := url.Parse(c.URL); err == nil && u.Host == zapierHost && !catchHook.MatchString(u.Path) {
		f.add("/config/url", "expected the URL of a Catch Hook: https://%s/hooks/catch/123456/abcdef/", zapierHost)
	}
	for name := range e.Mapping {
		if !fieldName.MatchString(name) || slices.Contains(zapierFields, name) {
			f.add("/mapping/"+escape(name), "expected a name of letters, digits and _ that begins with a letter and is not one of %s", strings.Join(zapierFields, ", "))
		}
	}
}

const zapierHost = "hooks.zapier.com"

var (
	catchHook = regexp.MustCompile(`^/hooks/(catch|standard)/[0-9]+/[0-9A-Za-z]+`)
	fieldName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*$`)
)

// zapierFields are the fields at the top of a body: dylr's, then ours.
var zapierFields = []string{
	"event", "timestamp", "call", "lead", "agent", "list",
	"id", "event_name", "call_id", "disposition", "recording_url", "lead_name", "lead_phone", "agent_name", "list_name",
}

// dylr is dylr's body of an event, also of those that dylr does not send.
func (k zapierKind) dylr(name string, v delivery.View, e delivery.Endpoint) ([]byte, error) {
	c := *v.Call
	if c.DispositionAt == nil {
		c.DispositionAt = c.EndedAt
	}
	v.Call, v.Payload = &c, call.Dispositioned{}
	msgs, err := k.set.formats[dylr].Render(v, e)
	if err != nil {
		return nil, err
	}
	if len(msgs) != 1 {
		return nil, fmt.Errorf("%s renders %d bodies", dylr, len(msgs))
	}
	return bytes.Replace(msgs[0].Body, []byte(`"event":"`+callCompleted+`"`), []byte(`"event":"`+name+`"`), 1), nil
}

// target checks the URL that webhooks are posted to.
func (f *faults) target(s *Set, to string) {
	if to == "" {
		f.add("/config/url", "required")
		return
	}
	if err := s.cfg.CheckURL(to); err != nil {
		f.add("/config/url", "%s", err)
	}
}

// render makes dylr's body with extras. An event that dylr does not have, a
// recording that comes late, is told in the same form.
func (k zapierKind) render(name string, v delivery.View, e delivery.Endpoint) ([]delivery.Message, error) {
	body, err := k.dylr(name, v, e)
	if err != nil {
		return nil, err
	}
	doc := documentOf(v, name, true)
	look, err := doc.lookup()
	if err != nil {
		return nil, err
	}
	extras := map[string]any{
		"id": v.Event.ID, "event_name": name, "call_id": v.Call.ID, "disposition": nullable(v.Call.Disposition), "recording_url": nil,
		"lead_name": nullable(doc.Lead.Name), "lead_phone": nullable(doc.Lead.Phone), "agent_name": nullable(doc.Agent.Name), "list_name": nullable(v.ListName),
	}
	if doc.Recording != nil {
		extras["recording_url"] = nullable(doc.Recording.URL)
	}
	for at, tpl := range e.Mapping {
		extras[at] = look.fill(tpl)
	}
	more, err := event.Marshal(extras)
	if err != nil {
		return nil, err
	}
	body = append(body[:len(body)-1:len(body)-1], ',')
	return []delivery.Message{{
		Name: name, Headers: []delivery.Header{{Name: "X-Webhook-Event", Value: name}}, Body: append(body, more[1:]...),
	}}, nil
}

func nullable(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func (k zapierKind) inspect(ctx context.Context, a *attempt) {
	a.reach(ctx, a.endpoint.URL)
	a.tape.step("catch hook")
	if u, err := url.Parse(a.endpoint.URL); err != nil || u.Host != zapierHost {
		a.tape.done("the address is not %s; a test call shows whether it takes webhooks", zapierHost)
		return
	}
	a.tape.done("Zapier says nothing of hooks that are off: make a test call, and look for it under Test trigger")
}

// reach asks whether there is an HTTP server behind a URL. It sends no webhook.
func (a *attempt) reach(ctx context.Context, to string) {
	a.try("reach the receiver", func() (string, error) {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodHead, to, nil)
		if err != nil {
			return "", failure(0, "the URL is none")
		}
		resp, err := a.client().Do(req)
		if err != nil {
			return "", err
		}
		_ = resp.Body.Close()
		if resp.StatusCode >= 500 {
			return "", failure(resp.StatusCode, "it answered %d", resp.StatusCode)
		}
		return fmt.Sprintf("it answers (%d to HEAD)", resp.StatusCode), nil
	})
}
