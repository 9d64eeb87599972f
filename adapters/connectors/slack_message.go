package connectors

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/slack-go/slack"

	"trunkline.dev/trunkline/domain/call"
)

// Slack's bounds for the parts of a message, in characters.
const (
	slackHeader  = 150
	slackField   = 2000
	slackSection = 3000
	slackFields  = 10
)

// message is the Block Kit message of a call: who, what came of it, how long,
// by whom, a link to listen. text is what notifications show.
func (k slackKind) message(a *attempt, c slackConfig) (blocks []slack.Block, text string) {
	d := a.doc
	disposition := d.Call.Disposition
	if disposition == "" {
		disposition = "No disposition"
	}
	badge := badgeOf(d.Call.Disposition, c.Badges)
	text = plainly(fmt.Sprintf("%s: %s", d.title(), disposition))
	blocks = append(blocks, slack.NewHeaderBlock(slack.NewTextBlockObject(slack.PlainTextType, cut(d.title(), slackHeader), true, false)))

	fields := []*slack.TextBlockObject{labelled("Disposition", badge+" "+plainly(disposition)), labelled("Duration", duration(d.Call.DurationSec))}
	for _, f := range []struct{ label, value string }{
		{"Agent", d.Agent.Name}, {"List", d.List.Name}, {"Phone", d.Lead.Phone}, {"Company", d.Lead.Company}, {"Direction", d.Call.Direction},
	} {
		if f.value != "" {
			fields = append(fields, labelled(f.label, plainly(f.value)))
		}
	}
	for _, label := range slices.Sorted(maps.Keys(a.endpoint.Mapping)) {
		if v := a.look.expand(a.endpoint.Mapping[label], nil); v != "" {
			fields = append(fields, labelled(plainly(label), plainly(v)))
		}
	}
	for some := range slices.Chunk(fields, slackFields) {
		blocks = append(blocks, slack.NewSectionBlock(nil, some, nil))
	}
	for _, part := range []struct{ label, value string }{{"Summary", d.Call.Summary}, {"Notes", d.Call.Notes}} {
		if part.value != "" {
			blocks = append(blocks, paragraph("*"+part.label+"*\n"+plainly(part.value)))
		}
	}
	if d.Recording != nil && d.Recording.URL != "" {
		blocks = append(blocks, paragraph(listen(d)))
	}
	blocks = append(blocks, slack.NewContextBlock("", markdown(plainly(fmt.Sprintf("Call %s · %s", d.Call.ID, when(d))))))
	return blocks, text
}

// later is the message of a recording that came after the call's message.
func (k slackKind) later(a *attempt) (blocks []slack.Block, text string) {
	text = plainly("Recording of the call with " + a.doc.title())
	return []slack.Block{
		paragraph(text + "\n" + listen(a.doc)),
		slack.NewContextBlock("", markdown(plainly(fmt.Sprintf("Call %s · %s", a.doc.Call.ID, when(a.doc))))),
	}, text
}

func listen(d document) string {
	link := strings.NewReplacer("&", "&amp;", "<", "%3C", ">", "%3E", "|", "%7C").Replace(d.Recording.URL)
	s := "<" + link + "|🎙️ Listen>"
	if at := d.Recording.ExpiresAt; at != nil {
		s += fmt.Sprintf(" until <!date^%d^{date_short_pretty} {time}|%s>", at.Unix(), at.UTC().Format("2006-01-02 15:04 MST"))
	}
	return s
}

func when(d document) string { return d.Timestamp.UTC().Format("2006-01-02 15:04 MST") }

func labelled(label, value string) *slack.TextBlockObject {
	return markdown(cut("*"+label+"*\n"+value, slackField))
}

func paragraph(text string) slack.Block {
	return slack.NewSectionBlock(markdown(cut(text, slackSection)), nil, nil)
}

func markdown(text string) *slack.TextBlockObject {
	return slack.NewTextBlockObject(slack.MarkdownType, text, false, false)
}

// plainly escapes what Slack would read as its own.
func plainly(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}

// cut shortens text to n characters, but not inside an escape.
func cut(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	r := []rune(s)[:n-1]
	out := string(r)
	if i := strings.LastIndexByte(out, '&'); i >= 0 && len(out)-i < len("&quot;") && !strings.Contains(out[i:], ";") {
		out = out[:i]
	}
	return out + "…"
}

// duration is "2m 22s".
func duration(seconds *int64) string {
	if seconds == nil {
		return "unknown"
	}
	return call.Length(*seconds)
}

// badgeOf marks a disposition: as configured, else by what it sounds like.
func badgeOf(disposition string, configured map[string]string) string {
	lower := strings.ToLower(disposition)
	for name, badge := range configured {
		if strings.ToLower(name) == lower {
			return badge
		}
	}
	for _, m := range []struct {
		badge string
		words []string
	}{
		{"🔴", []string{"not interested", "do not call", "dnc", "wrong", "refused", "lost", "invalid", "disconnected", "hung up"}},
		{"🟡", []string{"callback", "call back", "follow", "voicemail", "no answer", "busy", "later", "message"}},
		{"🟢", []string{"interested", "sale", "sold", "won", "appointment", "meeting", "booked", "qualified", "converted", "connected"}},
	} {
		if slices.ContainsFunc(m.words, func(w string) bool { return strings.Contains(lower, w) }) {
			return m.badge
		}
	}
	return "⚪"
}
