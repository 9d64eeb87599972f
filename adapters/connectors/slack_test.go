package connectors_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/adapters/connectors"
	"trunkline.dev/trunkline/adapters/connectors/internal/fake"
	"trunkline.dev/trunkline/adapters/connectors/slackfake"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/delivery"
)

func newSlack(t testing.TB) *slackfake.Slack {
	t.Helper()
	s := slackfake.New()
	t.Cleanup(func() { complains(t, s.Complaints()); s.Close() })
	return s
}

func (r *rig) hook(s *slackfake.Slack, change ...func(*delivery.Endpoint)) delivery.Endpoint {
	r.t.Helper()
	return r.connector("slack", map[string]any{}, map[string]any{"webhook_url": s.Hook()}, change...)
}

func (r *rig) bot(s *slackfake.Slack) delivery.Endpoint {
	r.t.Helper()
	return r.connector("slack", map[string]any{"channel": slackfake.Channel, "api_url": s.API(), "upload_recording": true}, map[string]any{"bot_token": slackfake.Token})
}

// TestSlackMessage is the message of seed 000: lead name, disposition badge,
// duration, agent and a link to listen.
func TestSlackMessage(t *testing.T) {
	t.Parallel()
	r, s := newRig(t), newSlack(t)
	e := r.hook(s, func(e *delivery.Endpoint) { e.Mapping = map[string]string{"Revenue": "{lead.custom_fields.Revenue}"} })
	story := r.newStory()
	story.happens(call.NoteAdded{Note: "Call again on <Monday> & bring numbers."})
	story.happens(call.SummaryAdded{Summary: "The customer is interested."})
	story.records("rec-1", 100)
	story.ends()
	r.succeeds(e, story.happens(call.Dispositioned{Disposition: "Interested"}))

	got := s.Messages()
	if len(got) != 1 || got[0].Text != "John Smith: Interested" {
		t.Fatalf("the channel has %v", got)
	}
	var lines []string
	for _, b := range got[0].Blocks {
		for _, at := range []string{"text", "fields", "elements"} {
			switch v := b[at].(type) {
			case map[string]any:
				lines = append(lines, fmt.Sprint(b["type"], ": ", v["text"]))
			case []any:
				for _, f := range v {
					lines = append(lines, fmt.Sprint(b["type"], ": ", f.(map[string]any)["text"]))
				}
			}
		}
	}
	want := []string{
		"header: John Smith",
		"section: *Disposition*\n🟢 Interested", "section: *Duration*\n2m 22s", "section: *Agent*\nJane Agent", "section: *List*\nQ2 Florida Realtors",
		"section: *Phone*\n+15551234567", "section: *Company*\nAcme &lt;Corp&gt; &amp; Sons", "section: *Direction*\noutbound", "section: *Revenue*\n$5M",
		"section: *Summary*\nThe customer is interested.",
		"section: *Notes*\nCall again on &lt;Monday&gt; &amp; bring numbers.",
		"section: <" + r.recordings.URL + "/100.mp3|🎙️ Listen>",
		"context: Call call-1 · 2026-11-28 12:01 UTC",
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSlackSaysHowLongACallTook(t *testing.T) {
	t.Parallel()
	for seconds, want := range map[int64]string{
		0: "0s", 9: "9s", 10: "10s", 60: "1m 0s", 140: "2m 20s", 180: "3m 0s", 600: "10m 0s", 3600: "1h 0m 0s", 3610: "1h 0m 10s", 36_000: "10h 0m 0s",
	} {
		if got := connectors.Duration(&seconds); got != want {
			t.Errorf("%d seconds are %q, want %q", seconds, got, want)
		}
	}
	if got := connectors.Duration(nil); got != "unknown" {
		t.Errorf("a length that nobody knows is %q", got)
	}
}

// A source that says all it knows at each webhook (seed 004) says a disposition
// again and again: "every completed call will trigger a notification" (seed 000).
func TestADispositionThatIsSaidAgainIsNoNews(t *testing.T) {
	t.Parallel()
	r, s := newRig(t), newSlack(t)
	e := r.hook(s)
	story := r.newStory()
	story.ends()
	r.succeeds(e, story.happens(call.Dispositioned{Disposition: "Interested", Restated: true}))
	if owed := r.owed(e, story.happens(call.Dispositioned{Disposition: "Interested", Restated: true})); len(owed) != 0 {
		t.Errorf("what was known already is told of %d times", len(owed))
	}
	r.succeeds(e, story.happens(call.Dispositioned{Disposition: "Sale", Restated: true}))
	r.succeeds(e, story.happens(call.Dispositioned{Disposition: "Sale"})) // somebody disposed again
	if n := len(s.Messages()); n != 3 {
		t.Errorf("the channel has %d messages, want 3", n)
	}
}

func TestSlackHookPostsOnce(t *testing.T) {
	t.Parallel()
	r, s := newRig(t), newSlack(t)
	e := r.hook(s)
	story := r.newStory()
	story.ends()
	first := story.happens(call.Dispositioned{Disposition: "Interested"})
	r.succeeds(e, first)
	if got := r.succeeds(e, first).result("post the message"); got != "it was posted by an earlier attempt" {
		t.Errorf("the second attempt says %q", got)
	}
	if n := len(s.Messages()); n != 1 {
		t.Errorf("after two attempts the channel has %d messages", n)
	}
	t.Run("a recording that comes later is told of", func(t *testing.T) {
		late := story.records("rec-1", 10)
		r.succeeds(e, late)
		r.succeeds(e, late)
		got := s.Messages()
		if len(got) != 2 || !strings.Contains(fmt.Sprint(got[1].Blocks), "/10.mp3|") {
			t.Errorf("the channel has %v", got)
		}
	})
	t.Run("one that the message has a link to is not", func(t *testing.T) {
		other := r.newStory()
		other.ends()
		early := other.records("rec-9", 11)
		r.succeeds(e, other.happens(call.Dispositioned{Disposition: "Sale"}))
		before := len(s.Messages())
		early.Call = other.call
		if o := r.deliver(e, r.one(e, early)); o.Error != "" || len(s.Messages()) != before {
			t.Errorf("%d messages more: %s", len(s.Messages())-before, o.Steps)
		}
	})
	t.Run("each further disposition is a message", func(t *testing.T) {
		r.succeeds(e, story.happens(call.Dispositioned{Disposition: "Sale"}))
		if n := len(s.Messages()); n != 4 {
			t.Errorf("the channel has %d messages", n)
		}
	})
}

func TestSlackHookFailures(t *testing.T) {
	t.Parallel()
	r, s := newRig(t), newSlack(t)
	e := r.hook(s)
	story := r.newStory()
	story.ends()
	v := story.happens(call.Dispositioned{Disposition: "Interested"})

	s.Break(fake.Fault{At: "POST /services", Status: 429, Header: map[string]string{"Retry-After": "30"}})
	if got := r.fails(e, v, 429, "fewer requests"); time.Until(got.RetryAfter) < 25*time.Second {
		t.Errorf("it may be tried again at %s", got.RetryAfter)
	}
	s.Break(fake.Fault{At: "POST /services", Status: 404, Body: "no_service"})
	r.fails(e, v, 404, "no_service", "was removed or is disabled")
	s.Break(fake.Fault{At: "POST /services", Status: 410, Body: "channel_is_archived"})
	r.fails(e, v, 410, "archived; add the webhook to another one")
	s.Break(fake.Fault{At: "POST /services", Status: 500, Body: "<html>"})
	r.fails(e, v, 500)
	s.Break(fake.Fault{At: "POST /services", Lost: true})
	r.fails(e, v, 0, "closed before there was an answer")
	r.succeeds(e, v)
	if n := len(s.Messages()); n != 2 {
		t.Errorf("with one answer lost the channel has %d messages: an incoming webhook cannot be asked", n)
	}
}

func TestSlackBot(t *testing.T) {
	t.Parallel()
	r, s := newRig(t), newSlack(t)
	e := r.bot(s)
	story := r.newStory()
	story.ends()
	first := story.happens(call.Dispositioned{Disposition: "Callback"})
	r.succeeds(e, first)
	late := story.records("rec-1", 1000)
	r.succeeds(e, late)
	r.succeeds(e, late)
	r.succeeds(e, first) // a replay, of an older state
	got := s.Messages()
	if len(got) != 1 || got[0].Edits != 2 {
		t.Fatalf("the channel has %+v", got)
	}
	if diff := cmp.Diff([]string{"John Smith - 2026-11-28T12:01:00Z.mp3"}, got[0].Files); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	t.Run("a message that somebody deleted is posted anew", func(t *testing.T) {
		s.Delete(got[0].TS)
		r.succeeds(e, story.happens(call.Dispositioned{Disposition: "Sale"}))
		if got := s.Messages(); len(got) != 1 || got[0].Text != "John Smith: Sale" || len(got[0].Files) != 0 {
			t.Errorf("the channel has %+v", got)
		}
	})
}

// TestSlackMessagesThatMayNotBeChanged: a workspace may let nobody edit what is older
// than some minutes. What came of the call since is told all the same.
func TestSlackMessagesThatMayNotBeChanged(t *testing.T) {
	t.Parallel()
	r, s := newRig(t), newSlack(t)
	e := r.bot(s)
	story := r.newStory()
	story.ends()
	r.succeeds(e, story.happens(call.Dispositioned{Disposition: "Callback"}))
	s.Break(fake.Fault{At: "POST /api/chat.update", Status: 200, Body: `{"ok":false,"error":"edit_window_closed"}`})
	story.happens(call.Dispositioned{Disposition: "Sale"})
	got := r.succeeds(e, story.records("rec-1", 1000))
	if said := got.result("bring the message up to date"); said != "Slack answered edit_window_closed; it is followed by another" {
		t.Errorf("the log says %q", said)
	}
	if got := s.Messages(); len(got) != 2 || got[1].Text != "John Smith: Sale" || len(got[1].Files) != 1 {
		t.Errorf("the channel has %+v", got)
	}
}

func TestSlackBotUploadGoesOnWhereItStopped(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]string{
		"asking where to":   "POST /api/files.getUploadURLExternal",
		"uploading":         "POST /upload/",
		"sharing":           "POST /api/files.completeUploadExternal",
		"posting an update": "POST /api/chat.update",
	} {
		for _, lost := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, lost %v", name, lost), func(t *testing.T) {
				t.Parallel()
				r, s := newRig(t), newSlack(t)
				e := r.bot(s)
				story := r.newStory()
				story.ends()
				r.succeeds(e, story.happens(call.Dispositioned{Disposition: "Callback"}))
				late := story.records("rec-1", 1000)
				s.Break(fake.Fault{At: at, Status: 500, Lost: lost})
				if o := r.deliver(e, r.one(e, late)); o.Error == "" {
					t.Fatalf("it did not fail: %s", o.Steps)
				}
				r.succeeds(e, late)
				got := s.Messages()
				if want := 1 + map[bool]int{true: 1}[lost && name == "sharing"]; len(got) != 1 || len(got[0].Files) != want {
					t.Errorf("the channel has %+v", got)
				}
			})
		}
	}
}

// The bytes are there and are to be shared: what Slack says then is obeyed, and
// only of a file that it does not know the bytes are sent again.
func TestSlackObeysWhileSharing(t *testing.T) {
	t.Parallel()
	const share, ask = "POST /api/files.completeUploadExternal", "POST /api/files.getUploadURLExternal 200"
	for name, c := range map[string]struct {
		fault  fake.Fault
		status int
		words  string
		// later is when it may be tried again.
		later bool
	}{
		"a rate limit":                  {fake.Fault{Status: 429, Header: map[string]string{"Retry-After": "30"}}, 429, "fewer requests", true},
		"a rate limit that answers 200": {fake.Fault{Status: 200, Body: `{"ok":false,"error":"ratelimited"}`}, 429, "ratelimited", false},
		"a scope that is missing":       {fake.Fault{Status: 200, Body: `{"ok":false,"error":"missing_scope","needed":"files:write","provided":"chat:write"}`}, 0, "Add the scope files:write", false},
		"an error":                      {fake.Fault{Status: 503}, 503, "Slack answered 503", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, s := newRig(t), newSlack(t)
			e := r.bot(s)
			story := r.newStory()
			story.ends()
			r.succeeds(e, story.happens(call.Dispositioned{Disposition: "Callback"}))
			late := story.records("rec-1", 1000)
			s.Break(fake.Fault{At: share, Status: 500})
			r.fails(e, late, 500)
			s.Lines()
			c.fault.At = share
			s.Break(c.fault)
			if got := r.fails(e, late, c.status, c.words); c.later != (time.Until(got.RetryAfter) > 25*time.Second) {
				t.Errorf("it may be tried again at %s", got.RetryAfter)
			}
			r.succeeds(e, late)
			if lines := s.Lines(); slices.Contains(lines, ask) {
				t.Errorf("the bytes were sent again: %v", lines)
			}
			if got := s.Messages(); len(got) != 1 || len(got[0].Files) != 1 {
				t.Errorf("the channel has %+v", got)
			}
		})
	}
}

func TestSlackCheck(t *testing.T) {
	t.Parallel()
	r, s := newRig(t), newSlack(t)
	for name, c := range map[string]struct {
		config, credentials map[string]any
		scopes              []string
		wrong               string
	}{
		"a webhook that works": {nil, map[string]any{"webhook_url": s.Hook()}, nil, ""},
		"a webhook of nobody":  {nil, map[string]any{"webhook_url": s.URL + "/services/T1/B1/Y"}, nil, "incoming webhook: Slack answered 404"},
		"a bot that works":     {map[string]any{"channel": slackfake.Channel}, map[string]any{"bot_token": slackfake.Token}, nil, ""},
		"a wrong token":        {map[string]any{"channel": slackfake.Channel}, map[string]any{"bot_token": "xoxb-wrong"}, nil, "invalid_auth. The token is wrong"},
		"a wrong channel":      {map[string]any{"channel": "#calls"}, map[string]any{"bot_token": slackfake.Token}, nil, "Give the channel's id, not its name"},
	} {
		config := map[string]any{"api_url": s.API()}
		for k, v := range c.config {
			config[k] = v
		}
		if _, hook := c.credentials["webhook_url"]; hook {
			config = nil
		}
		ok, wrong := r.check(r.connector("slack", config, c.credentials))
		if ok != (c.wrong == "") || !strings.Contains(wrong, c.wrong) {
			t.Errorf("%s: %v, %q; want %q", name, ok, wrong, c.wrong)
		}
	}
	s.Scopes = []string{"chat:write"}
	_, wrong := r.check(r.bot(s))
	if !strings.Contains(wrong, "lacks the scope files:write") || strings.Contains(wrong, "channel:") {
		t.Errorf("without scopes: %q", wrong)
	}
	if n := len(s.Messages()); n != 0 {
		t.Errorf("checks left %d messages", n)
	}
}

func TestSlackSettings(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := func(config string, credentials map[string]string) delivery.Endpoint {
		return delivery.Endpoint{Connector: "slack", Config: json.RawMessage(config), Credentials: credentials}
	}
	r.refuses("nothing", e(`{}`, nil), "/credentials", "webhook_url")
	r.refuses("both", e(`{"channel":"C1"}`, map[string]string{"webhook_url": "https://hooks.slack.com/services/a/b/c", "bot_token": "xoxb-1"}), "/credentials", "either")
	r.refuses("a bot without a channel", e(`{}`, map[string]string{"bot_token": "xoxb-1"}), "/config/channel", "required")
	r.refuses("a user's token", e(`{"channel":"C1"}`, map[string]string{"bot_token": "xoxp-1"}), "/credentials/bot_token", "xoxb-")
	r.refuses("a hook to a private address", e(`{}`, map[string]string{"webhook_url": "http://10.0.0.1/x"}), "/credentials/webhook_url", "https")
	r.refuses("an unknown setting", e(`{"chanel":"C1"}`, map[string]string{"webhook_url": "https://hooks.slack.com/services/a/b/c"}), "/config/chanel", "unknown field")
	r.refuses("an unknown credential", e(`{}`, map[string]string{"webhook_url": "https://hooks.slack.com/services/a/b/c", "password": "x"}), "/credentials/password", "not known")
	bad := e(`{}`, map[string]string{"webhook_url": "https://hooks.slack.com/services/a/b/c"})
	bad.Mapping = map[string]string{"Revenue": "{lead.custom_fields}", "A": "{customer.name}"}
	r.refuses("a path to nowhere", bad, "/mapping/A", "{customer.name}")
	bad.Mapping, bad.Events = nil, []string{"call.started"}
	r.refuses("an unknown event", bad, "/events/0", "call.completed")
}
