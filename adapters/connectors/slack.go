package connectors

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/slack-go/slack"

	"trunkline.dev/trunkline/domain/delivery"
)

// slackKind posts a message for each call (seed 000, tab Slack): by an incoming
// webhook, or as a bot, which can also bring the message up to date and upload
// the recording. Slack has no key of ours to ask by, so what was posted is
// remembered.
type slackKind struct{ set *Set }

type slackConfig struct {
	// Channel is the id of the channel that a bot posts to.
	Channel string `json:"channel"`
	// UploadRecording lets a bot upload the recording into the message's thread.
	UploadRecording bool `json:"upload_recording"`
	// Badges give dispositions their mark: {"Interested": ":large_green_circle:"}.
	Badges map[string]string `json:"badges"`
	// APIURL is where Slack's Web API is, for GovSlack.
	APIURL string `json:"api_url"`
}

const (
	slackHook  = "webhook_url"
	slackToken = "bot_token"
)

func (slackKind) name() string { return "slack" }

func (slackKind) triggers() triggers {
	t := reports(2)
	t.links = true
	return t
}

// triggersOf adds the recordings that are to be uploaded before the call is told of: the
// bot's message is brought up to date then.
func (k slackKind) triggersOf(e delivery.Endpoint) triggers {
	t := k.triggers()
	c, err := config[slackConfig](e)
	t.uploads = err == nil && c.UploadRecording
	return t
}

func (slackKind) texts() bool { return false }

func (k slackKind) prepare(f *faults, e *delivery.Endpoint) {
	c := read[slackConfig](f, e)
	f.credentials(e, nil, []string{slackHook, slackToken})
	hook, token := e.Credentials[slackHook], e.Credentials[slackToken]
	e.URL = f.address(k.set, "/config/api_url", c.APIURL, "https://slack.com/api")
	switch {
	case hook != "" && token != "":
		f.add("/credentials", "expected either webhook_url or bot_token")
	case hook != "":
		u, err := url.Parse(hook)
		if err != nil {
			f.add("/credentials/webhook_url", "expected the URL of an incoming webhook, https://hooks.slack.com/services/…")
			return
		}
		if err := k.set.cfg.CheckURL(hook); err != nil {
			f.add("/credentials/webhook_url", "%s", err)
		}
		if c.UploadRecording {
			f.add("/config/upload_recording", "an incoming webhook cannot upload; give a bot_token with the scopes chat:write and files:write")
		}
		e.URL = u.Scheme + "://" + u.Host // the path is the credential
	case token != "":
		if !strings.HasPrefix(token, "xoxb-") {
			f.add("/credentials/bot_token", "expected the token of a bot user, which begins with xoxb-")
		}
		if c.Channel == "" {
			f.add("/config/channel", "required with a bot_token: the id of the channel, for example C024BE91L")
		}
	default:
		f.add("/credentials", "expected webhook_url, of an incoming webhook, or bot_token")
	}
	for label := range e.Mapping {
		if len(label) > 50 {
			f.add("/mapping/"+escape(label), "a label has at most 50 bytes")
		}
	}
}

// slackPost is where a message stands.
type slackPost struct {
	Channel string `json:"channel,omitempty"`
	TS      string `json:"ts,omitempty"`
}

func (k slackKind) deliver(ctx context.Context, a *attempt) error {
	c, err := config[slackConfig](a.endpoint)
	if err != nil {
		return err
	}
	if hook := a.endpoint.Credentials[slackHook]; hook != "" {
		return k.postByHook(ctx, a, c, hook)
	}
	api := k.api(a)
	post, err := turn(ctx, a, slackCall(a), func(ctx context.Context, _ bool) (slackPost, error) { return k.postAsBot(ctx, a, c, api) })
	if err != nil {
		return err
	}
	if !c.UploadRecording || !a.copyable() {
		return nil
	}
	_, err = turn(ctx, a, slackRecording(a), func(ctx context.Context, _ bool) (any, error) { return nil, k.upload(ctx, a, api, post) })
	return err
}

// slackCall is what the message of the call is remembered under, slackRecording the same
// of the upload. Every test call is seen.
func slackCall(a *attempt) string {
	if a.doc.Call.ID == sampleCallID {
		return "slack/call/" + sampleCallID + "/" + a.deliveryID
	}
	return "slack/call/" + a.doc.Call.ID
}

func slackRecording(a *attempt) string {
	if a.doc.Recording.ID == sampleRecording {
		return "slack/file/" + sampleRecording + "/" + a.deliveryID
	}
	return "slack/file/" + a.doc.Recording.ID
}

// postByHook posts by an incoming webhook. What was posted that way cannot be
// changed, so a recording that comes later is a message of its own.
func (k slackKind) postByHook(ctx context.Context, a *attempt, c slackConfig, hook string) error {
	a.hideURL(hook)
	blocks, text := k.message(a, c)
	a.tape.step("post the message")
	linked := ""
	if a.doc.Recording != nil {
		linked = "slack/linked/" + a.doc.Recording.ID
	}
	if a.doc.Event == recordingReady {
		if _, known, err := remembered[slackPost](ctx, a, linked); err != nil || known {
			a.tape.done("the call's message has a link to its recording already")
			return err
		}
		blocks, text = k.later(a)
	}
	_, before, err := once(ctx, a, "slack/posted/"+a.deliveryID, func() (slackPost, error) {
		msg := &slack.WebhookMessage{Text: text, Blocks: &slack.Blocks{BlockSet: blocks}}
		return slackPost{}, k.refused(a, slack.PostWebhookCustomHTTPContext(ctx, hook, a.client(), msg))
	})
	if err != nil {
		return err
	}
	a.tape.done("%s", map[bool]string{true: "it was posted by an earlier attempt", false: "posted"}[before])
	if linked == "" {
		return nil
	}
	return a.remember(ctx, linked, slackPost{})
}

// postAsBot posts the message of the call, or brings it up to date, in the turn of the
// call.
func (k slackKind) postAsBot(ctx context.Context, a *attempt, c slackConfig, api *slack.Client) (slackPost, error) {
	blocks, text := k.message(a, c)
	say := []slack.MsgOption{slack.MsgOptionText(text, false), slack.MsgOptionBlocks(blocks...), slack.MsgOptionDisableLinkUnfurl()}
	key := slackCall(a)
	a.tape.step("find the call's message")
	post, known, err := remembered[slackPost](ctx, a, key)
	if err != nil {
		return post, err
	}
	if known {
		a.tape.done("it was posted")
		if old, err := a.outdated(ctx); err != nil || old {
			a.tape.done("it was posted, and is of a later event already")
			return post, err
		}
		a.tape.step("bring the message up to date")
		_, _, _, err := api.UpdateMessageContext(ctx, post.Channel, post.TS, say...)
		if !slackSays(err, "message_not_found", "cant_update_message", "edit_window_closed", "channel_not_found") {
			if err != nil {
				return post, k.refused(a, err)
			}
			a.tape.done("updated")
			return post, a.told(ctx)
		}
		a.tape.done("%s; it is followed by another", words(k.refused(a, err)))
	} else {
		a.tape.done("there is none yet")
	}
	a.tape.step("post the message")
	if post.Channel, post.TS, err = api.PostMessageContext(ctx, c.Channel, say...); err != nil {
		return post, k.refused(a, err)
	}
	a.tape.done("posted")
	return post, errors.Join(a.remember(ctx, key, post), a.told(ctx))
}

// slackFile is how far an upload came: the bytes are there, then it is shared.
type slackFile struct {
	ID     string `json:"id"`
	Shared bool   `json:"shared"`
}

// upload puts the recording into the thread of the call's message, in Slack's
// three steps and the recording's turn.
func (k slackKind) upload(ctx context.Context, a *attempt, api *slack.Client, post slackPost) error {
	key := slackRecording(a)
	a.tape.step("upload the recording")
	file, known, err := remembered[slackFile](ctx, a, key)
	if err != nil {
		return err
	}
	if known && file.Shared {
		a.tape.done("it was uploaded before")
		return nil
	}
	if known { // the bytes are there, unless Slack does not know them any more
		if err := k.share(ctx, a, api, key, file, post); !slackSays(err, "file_not_found") {
			return k.refused(a, err)
		}
	}
	name := a.fileName(defaultFileName) + a.extension()
	audio, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = audio.Close() }()
	to, err := api.GetUploadURLExternalContext(ctx, slack.GetUploadURLExternalParameters{FileName: name, FileSize: int(audio.Size)})
	if err != nil {
		return k.refused(a, err)
	}
	a.hideURL(to.UploadURL)
	if err := api.UploadToURL(ctx, slack.UploadToURLParameters{UploadURL: to.UploadURL, Reader: audio, Filename: name}); err != nil {
		return k.refused(a, err)
	}
	file = slackFile{ID: to.FileID}
	if err := a.remember(ctx, key, file); err != nil {
		return err
	}
	return k.refused(a, k.share(ctx, a, api, key, file, post))
}

func (k slackKind) share(ctx context.Context, a *attempt, api *slack.Client, key string, file slackFile, post slackPost) error {
	_, err := api.CompleteUploadExternalContext(ctx, slack.CompleteUploadExternalParameters{
		Files: []slack.FileSummary{{ID: file.ID, Title: "Recording of the call with " + a.doc.title()}}, Channel: post.Channel, ThreadTimestamp: post.TS,
	})
	if err != nil {
		return err
	}
	file.Shared = true
	a.tape.done("uploaded into the message's thread")
	return a.remember(ctx, key, file)
}

func (k slackKind) api(a *attempt) *slack.Client {
	at := strings.TrimRight(a.endpoint.URL, "/") + "/"
	return slack.New(a.endpoint.Credentials[slackToken], slack.OptionHTTPClient(a.client()), slack.OptionAPIURL(at))
}

func slackSays(err error, codes ...string) bool {
	said := slack.SlackErrorResponse{}
	return errors.As(err, &said) && slices.Contains(codes, said.Err)
}

// hideURL strikes the path of a URL out that is a credential itself.
func (a *attempt) hideURL(raw string) {
	if u, err := url.Parse(raw); err == nil {
		a.tape.hide(strings.Trim(u.Path, "/"), u.RawQuery)
	}
}

// refused puts what Slack said into words.
func (k slackKind) refused(a *attempt, err error) error {
	var (
		limited *slack.RateLimitedError
		status  slack.StatusCodeError
		said    slack.SlackErrorResponse
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &limited):
		p := failure(http.StatusTooManyRequests, "Slack wants fewer requests")
		p.retryAfter = a.set.cfg.Clock().Add(limited.RetryAfter)
		return p
	case errors.As(err, &status):
		text := a.tape.answer()
		p := failure(status.Code, "Slack answered %d %s", status.Code, clip(text, 200))
		p.gone = true // 410: the channel of an incoming webhook is archived
		return p.but(slackHints[strings.TrimSpace(text)])
	case errors.As(err, &said):
		p := failure(http.StatusOK, "Slack answered %s", said.Err)
		if said.Err == "ratelimited" || said.Err == "rate_limited" {
			p.status = http.StatusTooManyRequests
		}
		p.hint = slackHints[said.Err]
		if said.Needed != "" {
			p.hint = fmt.Sprintf("Add the scope %s to the Slack app and install it again; the token has %s", said.Needed, said.Provided)
		}
		return p
	}
	return err
}

// slackHints say what to do about Slack's errors.
var slackHints = map[string]string{
	"invalid_auth":                      "The token is wrong; copy the Bot User OAuth Token from the app's page OAuth & Permissions",
	"account_inactive":                  "The app was removed from the workspace; install it again",
	"token_revoked":                     "The token was revoked; install the app again",
	"channel_not_found":                 "Give the channel's id, not its name, and invite the bot if the channel is private: /invite @app",
	"not_in_channel":                    "Invite the bot into the channel: /invite @app",
	"is_archived":                       "The channel is archived",
	"channel_is_archived":               "The channel is archived; add the webhook to another one",
	"no_service":                        "The incoming webhook was removed or is disabled; add a new one in the Slack app and give its URL",
	"no_active_hooks":                   "The incoming webhook is disabled",
	"no_team":                           "The workspace is gone",
	"invalid_token":                     "The URL of the incoming webhook is not right; copy it again from the Slack app",
	"action_prohibited":                 "An administrator of the workspace does not allow this app to post there",
	"posting_to_general_channel_denied": "An administrator does not allow this app to post into #general",
	"invalid_blocks":                    "Slack does not take the message; look at mapping and badges",
}

func (k slackKind) inspect(ctx context.Context, a *attempt) {
	c, err := config[slackConfig](a.endpoint)
	if err != nil {
		a.tape.failed(err)
		return
	}
	if hook := a.endpoint.Credentials[slackHook]; hook != "" {
		a.hideURL(hook)
		a.try("incoming webhook", func() (string, error) {
			// A message without text is refused by a webhook that works, and posts
			// nothing.
			err := k.refused(a, slack.PostWebhookCustomHTTPContext(ctx, hook, a.client(), &slack.WebhookMessage{}))
			var p *problem
			if errors.As(err, &p) && p.status == http.StatusBadRequest {
				return "Slack knows it", nil
			}
			return "Slack knows it", err
		})
		return
	}
	api := k.api(a)
	var scopes []string
	ok := a.try("token", func() (string, error) {
		who, err := api.AuthTestContext(ctx)
		if err != nil {
			return "", k.refused(a, err)
		}
		scopes = strings.FieldsFunc(who.Header.Get("X-OAuth-Scopes"), func(r rune) bool { return r == ',' || r == ' ' })
		return fmt.Sprintf("signed in to %s as %s", who.Team, who.User), nil
	})
	if !ok {
		return
	}
	a.try("scopes", func() (string, error) {
		want := []string{"chat:write"}
		if c.UploadRecording {
			want = append(want, "files:write")
		}
		for _, w := range want {
			if len(scopes) > 0 && !slices.Contains(scopes, w) {
				return "", failure(0, "the token lacks the scope %s", w).but("Add it on the app's page OAuth & Permissions and install the app again")
			}
		}
		return strings.Join(want, ", "), nil
	})
	a.try("channel", func() (string, error) {
		ch, err := api.GetConversationInfoContext(ctx, &slack.GetConversationInfoInput{ChannelID: c.Channel})
		switch {
		case slackSays(err, "missing_scope"):
			return "not looked up: that takes the scope channels:read; a test call shows whether it can be posted to", nil
		case err != nil:
			return "", k.refused(a, err)
		case ch.IsArchived:
			return "", failure(0, "#%s is archived", ch.Name)
		case !ch.IsMember && !slices.Contains(scopes, "chat:write.public"):
			return "", failure(0, "the bot is not in #%s", ch.Name).but("Invite it there: /invite @app")
		}
		return "#" + ch.Name, nil
	})
}
