package dialecttest

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"pgregory.net/rapid"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/agent"
	"trunkline.dev/trunkline/domain/alert"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/contact"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/lead"
	"trunkline.dev/trunkline/domain/message"
)

// story is what happens at a hub, in this order, and how it is told onward.
type story struct {
	// connection is whose facts they are; "" if they came by the API.
	connection string
	// ids are those that the endpoint asked for.
	ids   string
	facts []commands.Fact
}

// GoString is how a counterexample is read: a line for each fact.
func (s story) GoString() string {
	var b strings.Builder
	fmt.Fprintf(&b, "facts of %q, told with ids of %q:", s.connection, s.ids)
	for i, f := range s.facts {
		fmt.Fprintf(&b, "\n  %d %s", i+1, factLine(f))
	}
	return b.String()
}

func factLine(f commands.Fact) string {
	data, err := event.Marshal(f.Payload)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%s of %q at %s: %s", f.Payload.EventType(), f.ExternalID+f.Subject, f.OccurredAt.Format(time.RFC3339Nano), data)
}

// teller draws a story. Texts and values are few, so that things are said again,
// changed and changed back.
type teller struct {
	t *rapid.T
	// numbers are those of the people in it.
	numbers []string
	at      time.Time
	// announced are the recordings of each call that its hub was told of.
	announced map[string][]string
	// starts are those of the calls, which everybody tells alike.
	starts map[string]call.Started
	s      *story
}

// stories draws stories of calls, leads, messages, contacts, agents or alerts.
func stories(numbers []string) *rapid.Generator[story] {
	return rapid.Custom(func(t *rapid.T) story {
		s := story{
			connection: rapid.SampledFrom([]string{"", "conn-0"}).Draw(t, "connection"),
			ids:        rapid.SampledFrom([]string{"", "source"}).Draw(t, "ids"),
		}
		w := &teller{t: t, numbers: numbers, at: noon, announced: make(map[string][]string), s: &s}
		all := []func(){w.calls, w.leads, w.messages, w.contacts, w.agents, w.alerts}
		w.few(6, func() { one(w, append(all, w.calls, w.calls)...)() })
		return s
	})
}

func (w *teller) add(id string, p event.Payload) {
	w.at = w.at.Add(17*time.Second + 250*time.Millisecond + 125*time.Microsecond)
	f := commands.Fact{Payload: p, ExternalID: id, EventKey: strconv.Itoa(len(w.s.facts)), OccurredAt: w.at}
	if topic, err := event.TopicOf(p.EventType()); err == nil && topic == event.Agents {
		f.Subject, f.ExternalID = id, ""
	}
	w.s.facts = append(w.s.facts, f)
}

// one draws one of several, each as likely as the others: rapid's own numbers are
// mostly small, and stories would be short.
func one[T any](w *teller, of ...T) T {
	n := 0
	for range 6 {
		n *= 2
		if rapid.Bool().Draw(w.t, "bit") {
			n++
		}
	}
	return of[n*len(of)/64]
}

// maybe is a value or, as often, none.
func maybe[T any](w *teller, draw func() T) *T {
	if rapid.Bool().Draw(w.t, "none") {
		return nil
	}
	v := draw()
	return &v
}

// few does something up to a number of times. Each is an element of a slice to
// rapid, which then can take any one out of a counterexample.
func (w *teller) few(most int, do func()) {
	whole := w.t
	defer func() { w.t = whole }()
	each := rapid.Custom(func(t *rapid.T) struct{} {
		w.t = t
		do()
		return struct{}{}
	})
	for ; most > 0; most -= 8 { // slices are short on average
		rapid.SliceOfN(each, 0, min(most, 8)).Draw(whole, "few")
	}
}

func (w *teller) text() string {
	return one(w, "Wants a demo.", `<b>bold</b> & "quoted" \ `+"\u2028", "line one\nline two", " padded ", "Ω 😀 é", "no: it is 5", "null", "180.0", `{"a":1}`)
}

func (w *teller) word() string { return one(w, "", "alpha", "beta", "<ga & mma>") }

func (w *teller) number() string { return one(w, w.numbers...) }

func (w *teller) moment() time.Time {
	return noon.Add(time.Duration(rapid.IntRange(0, 900).Draw(w.t, "second"))*time.Second + one(w, 0, 500*time.Millisecond, 123456*time.Microsecond))
}

func (w *teller) seconds() int64 { return int64(one(w, 0, 1, 59, 60, 181, 3723)) }

func (w *teller) length() float64 { return one(w, 0, 1.5, 179, 59.999) }

func (w *teller) opt() event.Opt[string] {
	switch rapid.IntRange(0, 3).Draw(w.t, "opt") {
	case 0:
		return event.Null[string]()
	case 1:
		return event.Opt[string]{}
	}
	return event.Some(w.word())
}

func (w *teller) raws() map[string]json.RawMessage {
	m := make(map[string]json.RawMessage)
	w.few(3, func() {
		m[one(w, "a", "<b>", "10", "2", "linkedin_url")] = json.RawMessage(one(w, `"x"`, `1.50`, `180.0`, `{"k":[1,null],"10":1}`, `true`, `"https://people.example/a?b=1&c=2"`, `12345678901234567890`, `null`))
	})
	return m
}

// person is one of our agents, as much of them as somebody said.
func (w *teller) person() call.Agent {
	ada, bob := call.Agent{ID: "ada", Name: "Ada A", Email: "ada@company.example"}, call.Agent{ID: "bob", Name: "Bob <B>"}
	return one(w, ada, bob, call.Agent{ID: "ada"}, call.Agent{ID: "bob"}, call.Agent{ID: "eve", Email: "Eve@company.example"})
}

func (w *teller) calls() {
	w.few(2, func() {
		if rapid.Bool().Draw(w.t, "lead") {
			w.lead(w.numbers[0])
		}
	})
	if w.starts == nil {
		w.starts = map[string]call.Started{"one": w.start("one"), "two": w.start("two")}
	}
	for _, at := range []string{"one", "two"} {
		switch one(w, 0, 1, 2, 3, 4, 5, 6, 7) {
		case 1: // somewhere below, or never
			if w.s.ids == "source" {
				w.add(at, w.starts[at]) // only a start tells the source's id
			}
		case 2:
			if w.s.connection != "" { // as dialnote's notes tell of a call
				w.add(at, call.Started{ExternalID: at, To: w.numbers[0], StartedAt: w.moment(), Inferred: true})
				break
			}
			fallthrough
		default:
			w.add(at, w.starts[at])
		}
	}
	w.few(24, func() {
		id := one(w, "one", "one", "one", "two")
		if one(w, 0, 1, 2, 3, 4, 5, 6, 7) == 1 {
			w.add(id, w.starts[id])
			return
		}
		w.happened(id)
	})
}

func (w *teller) start(id string) call.Started {
	ours := w.numbers[len(w.numbers)-1]
	s := call.Started{
		ExternalID: id, Direction: one(w, "inbound", "outbound"), From: ours, To: w.numbers[0], Agent: maybe(w, w.person), ListID: one(w, "", "list-q2"),
		Campaign: w.word(), StartedAt: w.moment(), AnsweredAt: maybe(w, w.moment), FromName: w.word(), ToName: w.word(),
	}
	if s.Direction == "inbound" {
		s.From, s.To = w.numbers[0], ours
		s.OriginalTo, s.OriginalToName = one(w, "", w.numbers[1]), w.word()
	}
	if rapid.Bool().Draw(w.t, "custom") {
		s.Custom = w.raws()
	}
	return s
}

// happened is anything that may happen to a call.
func (w *teller) happened(id string) {
	options := []func(){
		func() { w.add(id, call.Answered{AnsweredAt: w.moment(), Agent: maybe(w, w.person)}) },
		func() {
			w.add(id, call.Ended{EndedAt: w.moment(), Status: one(w, "", "", "failed", "no_answer"), DurationSec: maybe(w, w.seconds)})
		},
		func() {
			w.add(id, call.Dispositioned{Disposition: one(w, "SALE", "CALLBACK", "<none>"), Agent: maybe(w, w.person)})
		},
		func() {
			w.add(id, call.NoteAdded{NoteID: one(w, "", "n1", "n2"), Note: w.text(), Author: maybe(w, w.person)})
		},
		func() {
			recording := one(w, "r1", "r2")
			w.announced[id] = append(w.announced[id], recording)
			w.add(id, call.RecordingReady{Recording: call.Recording{
				ID: recording, URL: "https://recordings.example/" + recording + ".mp3?a=1&b=" + one(w, "1", "2"), Format: one(w, "", "mp3", "wav"),
				DurationSec: maybe(w, w.length), ExpiresAt: maybe(w, w.moment),
			}})
		},
		func() { w.add(id, w.transcript()) },
		func() { w.add(id, call.SummaryAdded{Summary: w.text(), OneSentence: w.word()}) },
		func() { w.add(id, call.Transferred{Transfer: w.transfer()}) },
		func() { w.add(id, w.corrected()) },
		func() {
			w.add(id, call.Settled{WaitedFor: one(w, call.ForDisposition, call.ForTranscript), AfterSec: 120})
		},
		func() { w.lead(w.numbers[0]) },
	}
	options = append(options, options[1], options[2]) // most webhooks wait for these two
	if known := w.announced[id]; len(known) > 0 {     // the hub's own facts follow from it
		options = append(options, func() {
			w.add(id, call.RecordingStored{SourceID: one(w, known...), Key: "k", SHA256: "00", Bytes: 3, ContentType: "audio/mpeg", Format: one(w, "", "mp3"), DurationSec: maybe(w, w.length), StoredAt: w.at})
		}, func() { w.add(id, call.RecordingDelayed{SourceID: one(w, known...), AfterSec: 20}) })
	}
	one(w, options...)()
}

func (w *teller) transcript() call.TranscriptReady {
	if rapid.Bool().Draw(w.t, "text") {
		return call.TranscriptReady{Transcript: w.text()}
	}
	var f call.TranscriptReady
	timed := rapid.Bool().Draw(w.t, "timed")
	segment := func() {
		s := call.Segment{Speaker: one(w, "agent", "customer", "external"), Text: w.text()}
		if timed {
			s.At = ref(w.moment())
		} else {
			s.StartSeconds = maybe(w, w.length)
		}
		f.Segments = append(f.Segments, s)
	}
	segment()
	w.few(2, segment)
	return f
}

func ref[T any](v T) *T { return &v }

func (w *teller) transfer() call.Transfer {
	party := func() call.Party {
		return call.Party{Number: w.number(), AgentEmail: one(w, "", "ada@company.example"), AgentName: w.word()}
	}
	return call.Transfer{From: maybe(w, party), To: maybe(w, party), OriginalCallID: one(w, "original", "o<1>")}
}

func (w *teller) corrected() call.Corrected {
	f := call.Corrected{Status: one(w, "", "", "failed"), DurationSec: maybe(w, w.seconds), Agent: maybe(w, w.person)}
	if rapid.Bool().Draw(w.t, "tags") {
		f.Tags = one(w, []string{}, []string{"vip"}, []string{"vip", "<b>"}, []string{"late", "vip"})
	}
	if rapid.Bool().Draw(w.t, "metrics") {
		f.Metrics = &call.Metrics{
			TotalTalkTimeMillis: maybe(w, w.seconds), TotalConversationDurationMillis: maybe(w, w.seconds), RepTalkTimeMillis: maybe(w, w.seconds),
			ProspectTalkTimeMillis: maybe(w, w.seconds), RepOverallSentiment: maybe(w, func() float64 { return one(w, -1, 0.25) }),
			ProspectOverallSentiment: maybe(w, func() float64 { return one(w, 0, 1.0/3) }), RepWordsPerMinute: maybe(w, w.length),
			ProspectWordsPerMinute: maybe(w, w.length), TotalSilenceTimeMillis: maybe(w, w.seconds),
		}
	}
	if rapid.Bool().Draw(w.t, "custom") {
		f.Custom = w.raws()
	}
	if rapid.IntRange(0, 3).Draw(w.t, "contact") == 0 {
		fields := w.fields("crm-9")
		f.Contact = &fields
	}
	return f
}

func (w *teller) leads() {
	w.few(8, func() { w.lead(w.number()) })
}

func (w *teller) lead(number string) {
	f := lead.Upserted{
		Phone: number, Name: w.opt(), FirstName: w.opt(), LastName: w.opt(), Company: w.opt(), Title: w.opt(), Email: w.opt(),
		City: w.opt(), State: w.opt(), Zip: w.opt(), ListID: one(w, event.Opt[string]{}, event.Some("list-q2")),
	}
	if number != w.numbers[1] { // the id of a lead is known from the first, or never
		f.ExternalID = event.Some("crm-" + number[1:])
	}
	if rapid.Bool().Draw(w.t, "custom") {
		f.CustomFields = w.raws()
	}
	w.add("", f)
}

func (w *teller) messages() {
	w.few(3, func() {
		m := message.Text{
			Direction: one(w, "inbound", "outbound"), Type: "SMS", Content: w.text(), From: w.number(), To: w.number(), FromName: w.word(), ToName: w.word(),
			AgentEmail: one(w, "", "ada@company.example"), SentAt: w.moment(),
		}
		if rapid.Bool().Draw(w.t, "mms") {
			m.Type, m.Content = "MMS", one(w, "", m.Content)
			m.Media = one(w, []string{"https://media.example/1.png?a=1&b=2"}, []string{"https://media.example/1.png", "https://media.example/2.png"})
		}
		var p event.Payload = message.Sent{Text: m}
		if m.Direction == "inbound" {
			p = message.Received{Text: m}
		}
		w.add("sms-"+strconv.Itoa(len(w.s.facts)), p)
	})
}

func (w *teller) contacts() {
	w.few(6, func() {
		id := one(w, "crm-1", "crm-2")
		f := w.fields(id)
		if rapid.IntRange(0, 2).Draw(w.t, "created") == 0 {
			w.add(id, contact.Created{Fields: f})
			return
		}
		w.add(id, contact.Updated{Fields: f})
	})
}

func (w *teller) fields(id string) contact.Fields {
	f := contact.Fields{
		ExternalID: event.Some(id), FirstName: w.opt(), LastName: w.opt(), Company: w.opt(), Title: w.opt(),
		LinkedinURL: w.opt(), FacebookURL: w.opt(), WebsiteURL: w.opt(), TimeZone: w.opt(), Note: w.opt(),
	}
	var emails []contact.Email
	for _, kind := range []string{"work", "personal", "other"} {
		if rapid.Bool().Draw(w.t, kind) {
			emails = append(emails, contact.Email{Kind: kind, Address: kind + "@home.example"})
		}
	}
	var phones []contact.Phone
	for _, kind := range []string{"work", "mobile", "home", "other"} {
		if rapid.Bool().Draw(w.t, kind) {
			phones = append(phones, contact.Phone{Kind: kind, Number: w.number()})
		}
	}
	f.Emails = one(w, event.Opt[[]contact.Email]{}, event.Null[[]contact.Email](), event.Some(append([]contact.Email{}, emails...)))
	f.Phones = one(w, event.Opt[[]contact.Phone]{}, event.Null[[]contact.Phone](), event.Some(append([]contact.Phone{}, phones...)))
	f.Address = one(w, event.Opt[contact.Address]{}, event.Null[contact.Address](), event.Some(contact.Address{
		Street: w.word(), Street2: w.word(), City: w.word(), State: w.word(), Zip: w.word(), Country: w.word(),
	}))
	f.Account = one(w, event.Opt[contact.Account]{}, event.Null[contact.Account](), event.Some(contact.Account{
		ExternalID: w.word(), Name: "Acme <Corp>", WebsiteURL: w.word(), Industry: w.word(),
	}))
	return f
}

func (w *teller) agents() {
	w.few(10, func() {
		c := agent.Change{Name: w.word(), Email: w.word(), Reason: w.word(), Campaign: w.word(), Strict: rapid.Bool().Draw(w.t, "strict")}
		w.add(one(w, "ada", "ada", "bob <b>"), one[event.Payload](w, agent.LogIn{Change: c}, agent.LogOut{Change: c}, agent.Pause{Change: c}, agent.Resume{Change: c}))
	})
}

func (w *teller) alerts() {
	w.few(5, func() {
		w.add(one(w, "alert-1", "alert-2"), one[event.Payload](w,
			alert.Triggered{
				Rule: w.text(), Metric: one(w, "queue_depth", "asr"), Condition: one(w, ">", "<="), Threshold: one(w, 0, 1e21, -0.1), Value: w.length(),
				Severity: one(w, "high", "low"), Campaign: w.word(), Note: w.word(), WindowSec: w.seconds(),
			},
			alert.Acknowledged{Note: w.word()}, alert.Resolved{Note: w.word()}))
	})
}
