package commands_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"trunkline.dev/trunkline/adapters/memory"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/catalog"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/lead"
)

// However a number is written, it is one lead, in one org.
func TestOnePhoneIsOneLead(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := fmt.Sprintf("%03d%03d%04d", rapid.IntRange(200, 999).Draw(t, "area"), rapid.IntRange(200, 999).Draw(t, "exchange"), rapid.IntRange(0, 9999).Draw(t, "line"))
		form := rapid.SampledFrom([]string{"+1%s%s%s", "(%s) %s-%s", "%s.%s.%s", "1-%s-%s-%s", " %s %s %s "}).Draw(t, "form")
		written := fmt.Sprintf(form, n[:3], n[3:6], n[6:])
		body, _ := json.Marshal([]map[string]string{{"phone": "+1" + n}, {"phone": written}})
		log := memory.NewLog(4)
		ups, err := recorder(t, log).UpsertLeads(context.Background(), caller(), commands.UpsertLeads{Body: body})
		if err != nil {
			t.Fatalf("%q: %v", written, err)
		}
		if ups[0].Subject != ups[1].Subject || ups[1].Phone != "+1"+n {
			t.Fatalf("%q is %s %s, +1%s is %s", written, ups[1].Subject, ups[1].Phone, n, ups[0].Subject)
		}
		other := caller()
		other.Org.ID, other.Org.Secret = "org-2", []byte("the secret of the second org")
		theirs, err := recorder(t, log).UpsertLeads(context.Background(), other, commands.UpsertLeads{Body: body})
		if err != nil {
			t.Fatal(err)
		}
		if theirs[0].Subject == ups[0].Subject {
			t.Fatal("two orgs share a lead")
		}
	})
}

// The same key gives the same ids, whatever the clock and the dice say; another
// key, route or place gives others.
func TestIdempotencyKeyDecidesTheIDs(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		facts := rapid.SliceOfN(rapid.Map(rapid.StringN(1, 20, -1), func(s string) commands.Fact {
			return commands.Fact{Payload: call.NoteAdded{Note: "n" + strings.Map(printable, s)}}
		}), 1, 5).Draw(t, "facts")
		c := caller()
		c.IdempotencyKey = rapid.StringMatching(`[a-z]{1,8}`).Draw(t, "key")
		record := func(c commands.Caller, at time.Time) []commands.Receipt {
			r, err := commands.NewRecorder(commands.RecorderConfig{
				Log: memory.NewLog(1), Phones: noPhones{}, Clock: func() time.Time { return at },
			})
			if err != nil {
				t.Fatal(err)
			}
			rcs, err := r.Record(context.Background(), c, facts)
			if err != nil {
				t.Fatal(err)
			}
			return rcs
		}
		first := record(c, noon)
		if diff := cmp.Diff(first, record(c, noon.Add(time.Hour))); diff != "" {
			t.Fatalf("another hour, other receipts (-first +second)\n%s", diff)
		}
		seen := make(map[string]bool)
		elsewhere := c
		elsewhere.Route = "POST /v1/y"
		otherKey := c
		otherKey.IdempotencyKey += "x"
		for _, rc := range append(append(first, record(elsewhere, noon)...), record(otherKey, noon)...) {
			for _, id := range []string{rc.EventID, rc.Subject} {
				if seen[id] {
					t.Fatalf("id %s given twice", id)
				}
				seen[id] = true
			}
		}
	})
}

// What is appended can be decoded and folded, and a source's wrong clock is
// never more than five minutes ahead.
func TestWhatIsAppendedFolds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		str := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "x", "\u2028", "<b>", "\ufffd"}))
		ptr := func(label string) *string {
			if !rapid.Bool().Draw(t, label+"?") {
				return nil
			}
			s := str.Draw(t, label)
			return &s
		}
		at := func(label string) *time.Time {
			if !rapid.Bool().Draw(t, label+"?") {
				return nil
			}
			v := noon.Add(time.Duration(rapid.Int64Range(-1<<50, 1<<50).Draw(t, label)))
			return &v
		}
		log := memory.NewLog(1)
		r := recorder(t, log)
		o, err := r.StartCall(context.Background(), caller(), commands.StartCall{Direction: "inbound", From: "+15551234567", To: "+14143756757"})
		if err != nil {
			t.Fatal(err)
		}
		in := commands.UpdateCall{
			AnsweredAt: at("answered"), EndedAt: at("ended"), Status: ptr("status"), Disposition: ptr("disposition"),
			Note: ptr("note"), Transcript: ptr("transcript"), Summary: ptr("summary"),
			Tags: rapid.SliceOfN(str, 0, 3).Draw(t, "tags"),
		}
		before := len(log.Events(event.Calls))
		_, err = r.UpdateCall(context.Background(), caller(), o.ID, in)
		appended := log.Events(event.Calls)
		var inv *commands.Invalid
		if errors.As(err, &inv) {
			if len(appended) != before {
				t.Fatalf("refused (%v) and appended all the same", err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		var c call.Call
		for _, e := range appended {
			if err := catalog.Apply(&c, e); err != nil {
				t.Fatalf("folding %s: %v", e.Data, err)
			}
			if e.OccurredAt.After(noon.Add(5 * time.Minute)) {
				t.Fatalf("occurred at %s", e.OccurredAt)
			}
			if strings.Contains(strings.ReplaceAll(string(e.Data), `\\`, ""), `\u0000`) {
				t.Fatalf("U+0000 in %s", e.Data)
			}
		}
	})
}

func recorder(t *rapid.T, log commands.Log) *commands.Recorder {
	r, err := commands.NewRecorder(commands.RecorderConfig{
		Log: log, Phones: phones, Clock: func() time.Time { return noon }, Random: &stream{},
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func printable(r rune) rune {
	if r == 0 {
		return -1
	}
	return r
}

// FuzzLeads: whatever the body, all or nothing is appended, and what is appended
// folds.
func FuzzLeads(f *testing.F) {
	for _, s := range []string{
		`{"phone":"+15551234567","name":null,"x":1}`, `[{"phone":"555-123-4567"}]`, `[{"phone":""},{"phone":"+15551234567"}]`,
		`{"phone":"+15551234567","custom_fields":{"a":{"b":["\ud800",1e9]}}}`, `[`, `null`, `""`, `{"phone":"+15551234567","PHONE":"x"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		log := memory.NewLog(1)
		ups, err := newRecorder(t, log, nil).UpsertLeads(context.Background(), caller(), commands.UpsertLeads{Body: body})
		events := log.Events(event.Leads)
		if err != nil {
			var inv *commands.Invalid
			if !errors.As(err, &inv) && !errors.Is(err, commands.ErrTooLarge) {
				t.Errorf("a broken body is %v", err)
			}
			if len(events) != 0 {
				t.Errorf("refused and appended all the same: %s", events[0].Data)
			}
			return
		}
		if len(events) != len(ups) {
			t.Fatalf("%d answers, %d events", len(ups), len(events))
		}
		for _, e := range events {
			if err := catalog.Apply(new(lead.Lead), e); err != nil {
				t.Errorf("folding %s: %v", e.Data, err)
			}
		}
	})
}

// FuzzDecode: the strict decoder refuses what encoding/json refuses when it is
// strict, what it takes has the value that encoding/json gives it, and each of its
// names is one of the type's as the type writes it.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		`{"note":"x"}`, `{"recording":{"url":"https://x","u":1}}`, `{"ended_at":"2026-05-14T12:00:00Z"}`, `{"tags":[1]}`, `{} {}`, `{"metrics":{"rep_talk_time_millis":1.5}}`,
		`{"Note":"x"}`, `{"note":"x","NOTE":"y"}`, `{"\u006eote":"x"}`, `{"note":"x","note":"y"}`, `{"agent":{"ID":"x"},"agent":{"id":"y"}}`,
	} {
		f.Add([]byte(s))
	}
	names := make(map[string]bool)
	for field := range reflect.TypeFor[commands.UpdateCall]().Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		names[name] = true
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var in, plain commands.UpdateCall
		err := commands.Decode(body, &in)
		var inv *commands.Invalid
		if err != nil && !errors.As(err, &inv) {
			t.Errorf("refused by %T", err)
		}
		if err != nil {
			return
		}
		strict := json.NewDecoder(bytes.NewReader(body))
		strict.DisallowUnknownFields()
		if err := strict.Decode(&plain); err != nil {
			t.Errorf("taken, though encoding/json says %v", err)
		}
		if diff := cmp.Diff(plain, in); diff != "" {
			t.Errorf("encoding/json reads it otherwise (-encoding/json +got):\n%s", diff)
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(body, &members); err != nil {
			t.Errorf("taken, though it is no object: %v", err)
		}
		for name := range members {
			if !names[name] {
				t.Errorf("taken with %q, which is no field", name)
			}
		}
	})
}
