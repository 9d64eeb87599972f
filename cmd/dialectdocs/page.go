package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"

	"trunkline.dev/trunkline/adapters/dialects"
	"trunkline.dev/trunkline/domain/delivery"
)

// What the samples of all pages share. The secret is the one of the Standard
// Webhooks specification's examples.
const sampleSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

var (
	sampleTime     = time.Date(2026, 3, 7, 15, 30, 0, 0, time.UTC)
	sampleEndpoint = delivery.Endpoint{ID: "sample-webhook", Org: "your-org-id"}
)

// pageData is what docs/page.md.tmpl shows.
type pageData struct {
	Name, Title, Intro, Notes    string
	CreateWebhook, First         string
	Events, ContentType          string
	Signature, OtherHeaders      string
	Timeout, Retries, Disabling  string
	Samples                      []sample
	VerifyIntro                  string
	Snippets                     []snippet
	Secret, ExampleBody          string
	ExampleIntro, ExampleHeaders string
	Mistakes                     []mistake
	Received                     bool
}

type sample struct {
	Name    string
	Headers []delivery.Header
	Body    string
}

type snippet struct{ Language, Fence, Code string }

type mistake struct {
	Code int
	Says string
}

// languages are those that snippets are written in: file ending, name, fence.
var languages = [][3]string{{"js", "Node", "js"}, {"py", "Python", "python"}, {"go", "Go", "go"}, {"php", "PHP", "php"}}

func page(docs string, d dialects.Dialect) ([]byte, error) {
	p := pageData{
		Name: d.Name(), ContentType: d.ContentType(), Events: "`" + strings.Join(d.Events(), "`, `") + "`", Secret: sampleSecret,
		OtherHeaders: otherHeaders(d),
	}
	_, p.Received = d.(dialects.Inbound)
	p.profile(d.Profile())
	if err := p.samples(d); err != nil {
		return nil, err
	}
	if err := p.verify(docs, d); err != nil {
		return nil, err
	}
	if err := p.notes(filepath.Join(docs, "notes", file(d))); err != nil {
		return nil, err
	}
	create, err := json.Marshal(struct {
		Name    string   `json:"name"`
		Dialect string   `json:"dialect"`
		URL     string   `json:"url"`
		Events  []string `json:"events"`
	}{"My " + p.Title + " receiver", d.Name(), "https://example.com/hooks", []string{p.First}})
	if err != nil {
		return nil, err
	}
	p.CreateWebhook = string(create)
	for _, m := range dialects.Mistakes() {
		p.Mistakes = append(p.Mistakes, mistake{m.ExitCode, m.Meaning})
	}
	t, err := template.ParseFiles(filepath.Join(docs, "page.md.tmpl"))
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := t.Execute(&out, p); err != nil {
		return nil, err
	}
	return append(bytes.TrimRight(out.Bytes(), "\n"), '\n'), nil
}

// notes reads what only words can say: a title, an introduction, "---", notes.
func (p *pageData) notes(path string) error {
	p.Title, p.Intro = p.Name, "Webhooks in the format of "+p.Name+"."
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	head, notes, ok := strings.Cut(string(text), "\n---\n")
	title, intro, ok2 := strings.Cut(head, "\n")
	if !ok || !ok2 {
		return fmt.Errorf("%s: expected a title, an introduction and a line of ---", path)
	}
	p.Title, p.Intro, p.Notes = title, intro, notes
	return nil
}

func (p *pageData) samples(d dialects.Dialect) error {
	for _, name := range d.Events() {
		m, err := d.Sample(name, sampleEndpoint, sampleTime)
		if errors.Is(err, dialects.ErrSilent) {
			continue
		}
		if err != nil {
			return err
		}
		if p.First == "" {
			p.First, p.ExampleBody = name, string(m.Body)
		}
		var body bytes.Buffer
		if err := json.Indent(&body, m.Body, "", "  "); err != nil {
			return err
		}
		p.Samples = append(p.Samples, sample{Name: name, Headers: m.Headers, Body: body.String()})
	}
	return nil
}

// verify fills in how receivers verify: the dialect's own signature, or that of
// Standard Webhooks where it has none.
func (p *pageData) verify(docs string, d dialects.Dialect) error {
	scheme, header, prefix := "standard", "", ""
	if own := d.Sign(sampleSecret, []byte(p.ExampleBody)); len(own) > 0 {
		scheme, header, prefix = "hex", own[0].Name, own[0].Value[:len(own[0].Value)-64]
		p.Signature = fmt.Sprintf("`%s: %s<hex>`, HMAC-SHA256 of the body keyed by the whole secret; beside it that of Standard Webhooks", header, prefix)
		p.VerifyIntro = fmt.Sprintf("`%s` is %sthe HMAC-SHA256 of the body as 64 hex digits. The key is the\nsecret as it is shown, `whsec_` included. Take the bytes of the request before any\nJSON parser, and compare in constant time.",
			header, map[bool]string{true: "", false: "`" + prefix + "` and "}[prefix == ""])
		p.ExampleIntro, p.ExampleHeaders = "the header", own[0].Name+": "+own[0].Value
	} else {
		p.Signature = "none of its own: that of Standard Webhooks (`webhook-id`, `webhook-timestamp`, `webhook-signature`)"
		p.VerifyIntro = "`webhook-signature` is that of Standard Webhooks: `v1,` and the base64 of HMAC-SHA256\nover `webhook-id.webhook-timestamp.body`, keyed by the secret base64-decoded after\n`whsec_`. There may be several, separated by spaces. Take the bytes of the request\nbefore any JSON parser. Its libraries do the same as this:"
		headers, err := dialects.SignStandard("sample-id", sampleTime, []byte(p.ExampleBody), sampleSecret)
		if err != nil {
			return err
		}
		var lines []string
		for _, h := range headers {
			lines = append(lines, h.Name+": "+h.Value)
		}
		p.ExampleIntro, p.ExampleHeaders = "these headers (the clock aside)", strings.Join(lines, "\n")
	}
	for _, l := range languages {
		t, err := template.ParseFiles(filepath.Join(docs, "snippets", scheme, "verify."+l[0]+".tmpl"))
		if err != nil {
			return err
		}
		var code bytes.Buffer
		if err := t.Execute(&code, map[string]string{"Header": header, "HeaderLower": strings.ToLower(header), "Prefix": prefix}); err != nil {
			return err
		}
		p.Snippets = append(p.Snippets, snippet{Language: l[1], Fence: l[2], Code: code.String()})
	}
	return nil
}

// otherHeaders are the dialect's headers beside its signature.
func otherHeaders(d dialects.Dialect) string {
	var all []string
	for _, provider := range []string{"", "zapier"} {
		for _, name := range d.Events() {
			e := sampleEndpoint
			e.Provider = provider
			m, err := d.Sample(name, e, sampleTime)
			if err != nil {
				continue
			}
			for _, h := range m.Headers {
				text := "`" + h.Name + ": " + h.Value + "`"
				if provider != "" {
					text += " (provider " + provider + ")"
				}
				if !slices.ContainsFunc(all, func(have string) bool { return strings.HasPrefix(text, have) }) {
					all = append(all, text)
				}
			}
		}
	}
	return strings.Join(append(all,
		"`webhook-id` (the same for each attempt)",
		"`trunkline-event-type`",
		"`trunkline-sequence` (grows with each event of a call, a lead, …; numbers are left out for events that this webhook does not get)",
		"`trunkline-previous-sequence` (that of the event before it that was owed to this webhook, if there was one: what was missed shows here)",
		"`trunkline-replay` (in a replay: its id)"), ", ")
}

func (p *pageData) profile(f delivery.Profile) {
	p.Timeout = words(f.Timeout)
	var waits []string
	for _, w := range f.Retries {
		waits = append(waits, words(w))
	}
	p.Retries = "after " + strings.Join(waits, ", ")
	if f.Jitter > 0 {
		p.Retries += fmt.Sprintf(", each up to %.0f %% longer", f.Jitter*100)
	}
	p.Retries += "; `Retry-After` is obeyed"
	switch {
	case f.DisableAfterFailures > 0:
		p.Disabling = fmt.Sprintf("after %d failed attempts in a row", f.DisableAfterFailures)
	case f.DisableAfter > 0:
		p.Disabling = "when all attempts of a delivery failed and nothing was delivered for " + words(f.DisableAfter)
	default:
		p.Disabling = "by its toggle only"
	}
	p.Disabling += "; by a 410 at once"
}

// words writes a duration as people do.
func words(d time.Duration) string {
	switch {
	case d >= 48*time.Hour && d%(24*time.Hour) == 0:
		return strconv.Itoa(int(d/(24*time.Hour))) + " days"
	case d >= time.Hour && d%time.Hour == 0:
		return strconv.Itoa(int(d/time.Hour)) + " h"
	case d >= 5*time.Minute && d%time.Minute == 0:
		return strconv.Itoa(int(d/time.Minute)) + " min"
	}
	return strconv.Itoa(int(d/time.Second)) + " s"
}
