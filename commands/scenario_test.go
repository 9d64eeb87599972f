package commands_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"trunkline.dev/trunkline/adapters/memory"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/contact"
	"trunkline.dev/trunkline/domain/event"
)

var update = flag.Bool("update", false, "write the goldens anew")

// TestScenarios runs testdata/*.txtar. Each file but the last is a step: its
// name is the intent, with arguments, its content the JSON of the request. The
// last, "want", is what each step answered and what it appended. "$1" in a name
// is the entity of step 1.
func TestScenarios(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			t.Parallel()
			a, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			last := len(a.Files) - 1
			if last < 1 || a.Files[last].Name != "want" {
				t.Fatalf("%s: the last file must be called want", path)
			}
			s := newScenario(t)
			got := s.run(a.Files[:last])
			if *update {
				a.Files[last].Data = got
				if err := os.WriteFile(path, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(a.Files[last].Data), string(got)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

type scenario struct {
	t        *testing.T
	log      *memory.Log
	recorder *commands.Recorder
	caller   commands.Caller
	subjects []string
	out      bytes.Buffer
}

func newScenario(t *testing.T) *scenario {
	log := memory.NewLog(1)
	return &scenario{t: t, log: log, recorder: newRecorder(t, log, nil), caller: caller()}
}

func (s *scenario) run(steps []txtar.File) []byte {
	for i, f := range steps {
		words := strings.Fields(f.Name)
		for j, w := range words {
			if n, ok := strings.CutPrefix(w, "$"); ok {
				k, err := strconv.Atoi(n)
				if err != nil || k < 1 || k > len(s.subjects) {
					s.t.Fatalf("step %q: no such step", f.Name)
				}
				words[j] = s.subjects[k-1]
			}
		}
		fmt.Fprintf(&s.out, "== %d %s\n", i+1, f.Name)
		s.step(words[0], words[1:], f.Data)
		s.appended()
	}
	return s.out.Bytes()
}

func (s *scenario) step(verb string, args []string, body []byte) {
	ctx, c, r := context.Background(), s.caller, s.recorder
	arg := func(i int) string {
		if i < len(args) {
			return args[i]
		}
		return ""
	}
	var o commands.Outcome
	var err error
	switch verb {
	case "leads":
		var ups []commands.Upsert
		ups, err = r.UpsertLeads(ctx, c, commands.UpsertLeads{Body: body, ListID: arg(0)})
		for _, u := range ups {
			fmt.Fprintf(&s.out, "lead %s %s\n", u.Subject, u.Phone)
			o.ID = u.Subject
		}
	case "start_call":
		var in commands.StartCall
		if err = commands.Decode(body, &in); err == nil {
			o, err = r.StartCall(ctx, c, in)
		}
	case "update_call":
		var in commands.UpdateCall
		if err = commands.Decode(body, &in); err == nil {
			o, err = r.UpdateCall(ctx, c, arg(0), in)
		}
	case "agent":
		var in commands.SetAgentState
		if err = commands.Decode(body, &in); err == nil {
			in.Strict = arg(1) == "strict"
			var rc commands.Receipt
			rc, err = r.SetAgentState(ctx, c, arg(0), in)
			o = commands.Outcome{ID: rc.Subject}
		}
	case "alert", "acknowledge", "resolve":
		o, err = s.alert(verb, arg(0), body)
	case "message":
		var in commands.RecordMessage
		if err = commands.Decode(body, &in); err == nil {
			o, err = r.RecordMessage(ctx, c, in)
		}
	case "contact", "update_contact":
		var in contact.Fields
		if err = commands.Decode(body, &in); err == nil {
			if verb == "contact" {
				o, err = r.CreateContact(ctx, c, in)
			} else {
				o, err = r.UpdateContact(ctx, c, arg(0), in)
			}
		}
	case "events":
		var rcs []commands.Receipt
		rcs, err = r.RecordEvents(ctx, c, s.cloudEvents(body))
		if len(rcs) > 0 {
			o.ID = rcs[len(rcs)-1].Subject
		}
	default:
		s.t.Fatalf("unknown step %q", verb)
	}
	s.subjects = append(s.subjects, o.ID)
	s.answer(verb, o, err)
}

func (s *scenario) alert(verb, id string, body []byte) (commands.Outcome, error) {
	ctx := context.Background()
	var rc commands.Receipt
	var err error
	if verb == "alert" {
		var in commands.TriggerAlert
		if err := commands.Decode(body, &in); err != nil {
			return commands.Outcome{}, err
		}
		rc, err = s.recorder.TriggerAlert(ctx, s.caller, in)
		return commands.Outcome{ID: rc.Subject}, err
	}
	var in commands.AlertStep
	if err := commands.Decode(body, &in); err != nil {
		return commands.Outcome{}, err
	}
	if verb == "resolve" {
		rc, err = s.recorder.ResolveAlert(ctx, s.caller, id, in)
	} else {
		rc, err = s.recorder.AcknowledgeAlert(ctx, s.caller, id, in)
	}
	return commands.Outcome{ID: rc.Subject, Known: true}, err
}

// cloudEvents reads the plainest form of a batch; the HTTP side has its own tests.
func (s *scenario) cloudEvents(body []byte) []commands.CloudEvent {
	var items []struct {
		ID, Source, Type, Subject string
		Data                      json.RawMessage
	}
	if err := json.Unmarshal(body, &items); err != nil {
		s.t.Fatal(err)
	}
	events := make([]commands.CloudEvent, len(items))
	for i, e := range items {
		at := fmt.Sprintf("/%d", i)
		events[i] = commands.CloudEvent{
			ID: e.ID, Source: e.Source, Type: event.Type(e.Type), Subject: e.Subject, Data: e.Data, Pointer: at, DataPointer: at + "/data",
		}
	}
	return events
}

func (s *scenario) answer(verb string, o commands.Outcome, err error) {
	var inv *commands.Invalid
	switch {
	case errors.As(err, &inv):
		for _, e := range inv.Errors {
			fmt.Fprintf(&s.out, "invalid %s: %s\n", e.Pointer, e.Detail)
		}
	case err != nil:
		fmt.Fprintf(&s.out, "error: %v\n", err)
	case verb == "leads":
	case o.Known:
		fmt.Fprintf(&s.out, "known %s\n", o.ID)
	default:
		fmt.Fprintf(&s.out, "new %s\n", o.ID)
	}
}

// appended prints what the step put into the log.
func (s *scenario) appended() {
	all := s.log.Events(event.FactTopics()...)
	fresh := all[:0:0]
	for _, e := range all {
		if !s.printed(e) {
			fresh = append(fresh, e)
		}
	}
	for _, e := range fresh {
		fmt.Fprintf(&s.out, "+ %s %s %s %s\n  %s\n", e.Type, e.Subject, e.ID, e.OccurredAt.Format("2006-01-02T15:04:05.999999Z07:00"), e.Data)
	}
}

func (s *scenario) printed(e event.Recorded) bool {
	return strings.Contains(s.out.String(), e.ID)
}
