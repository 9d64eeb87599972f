package dialecttest

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"trunkline.dev/trunkline/adapters/dialects"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

// RoundTrip draws stories, tells each in the dialect, event by event, from one
// hub to another, both with the real intake and folds, and compares what they
// know: what the dialect carries of the first must stand in the second.
func RoundTrip(t *testing.T, d dialects.Dialect, c Carried) {
	if _, ok := d.(dialects.Inbound); !ok {
		t.Fatalf("%s cannot be received", d.Name())
	}
	numbers := []string{"+15551234567", "+442079460000", "+33612345678", "+14143756757"}
	if c.National {
		numbers = []string{"+15551234567", "+12025550123", "+14143756757"}
	}
	for _, name := range Audible(d) {
		if _, ok := c.row(name); !ok {
			t.Errorf("what %s carries is not listed", name)
		}
	}
	draw := stories(numbers)
	t.Run("comes back", func(t *testing.T) {
		t.Parallel()
		rapid.Check(t, func(t *rapid.T) {
			if err := play(d, c, draw.Draw(t, "story"), func(string) {}); err != nil {
				t.Fatal(err)
			}
		})
	})
	t.Run("is said", func(t *testing.T) {
		t.Parallel()
		c.said(t, d, draw)
	})
}

// said plays the same stories each time, until each event was sent and each line
// of the table said something in one. What none says would prove nothing.
func (c Carried) said(t *testing.T, d dialects.Dialect, draw *rapid.Generator[story]) {
	missing := make(map[string]bool)
	for _, name := range Audible(d) {
		row, _ := c.row(name)
		for _, line := range slices.Concat(row, []string{name}) {
			missing[line] = true
		}
		if row == nil {
			delete(missing, name)
		}
	}
	for seed := range 3000 {
		if len(missing) == 0 {
			return
		}
		s := draw.Example(seed)
		if err := play(d, c, s, func(line string) { delete(missing, line) }); err != nil {
			t.Fatalf("%#v\n%s", s, err)
		}
	}
	t.Errorf("no story says %s", slices.Sorted(maps.Keys(missing)))
}

// play tells a story from one hub to another.
func play(d dialects.Dialect, c Carried, s story, said func(line string)) error {
	first, err := newPeer("org-1", s.connection)
	if err != nil {
		return err
	}
	second, err := newPeer("org-2", "conn-1")
	if err != nil {
		return err
	}
	w := &way{
		d: d, c: c, to: second, endpoint: delivery.Endpoint{ID: "endpoint-1", IDs: s.ids}, said: said,
		expected: make(map[string]map[string]any), told: make(map[string][]any), twins: make(map[string]string), twinOf: make(map[string]string),
	}
	for i, f := range s.facts {
		views, _, err := first.record(f)
		if err != nil {
			return fmt.Errorf("%s is no story: %w", factLine(f), err)
		}
		for _, v := range views {
			if err := w.tell(v); err != nil {
				return fmt.Errorf("after fact %d, %s:\n%w", i+1, f.Payload.EventType(), err)
			}
		}
	}
	return nil
}

// way is the way from one hub to another.
type way struct {
	d        dialects.Dialect
	c        Carried
	to       *peer
	endpoint delivery.Endpoint
	// said hears of each line of the table that a webhook said something in.
	said func(line string)
	// expected is what the second hub must know by now: of each of its entities,
	// by the reading.
	expected map[string]map[string]any
	// told is what was ever said, by entity and reading.
	told map[string][]any
	// twins are the second hub's entities by the first one's, twinOf the other way.
	twins, twinOf map[string]string
}

// tell sends the webhooks of one view and compares.
func (w *way) tell(v delivery.View) error {
	msgs, err := w.d.Render(v, w.endpoint)
	if err != nil {
		return err
	}
	for _, m := range msgs {
		if err := w.send(v, m); err != nil {
			return fmt.Errorf("%s was sent: %s\n%w", m.Name, m.Body, err)
		}
	}
	return nil
}

func (w *way) send(v delivery.View, m delivery.Message) error {
	in := w.d.(dialects.Inbound)
	h, err := headers(w.d, m, delivery.ID(v.Event.ID, w.endpoint.ID, m.Part))
	if err != nil {
		return err
	}
	c := Connection(w.d)
	if err := in.Verify(c, h, m.Body); err != nil {
		return fmt.Errorf("its signature was refused: %w", err)
	}
	facts, err := in.Decode(c, h, m.Body)
	if err != nil {
		return fmt.Errorf("it was not understood: %w", err)
	}
	_, about, err := w.to.record(facts...)
	if err != nil {
		return fmt.Errorf("its facts were refused: %w", err)
	}
	if err := w.compare(v, m.Name, about); err != nil {
		var b strings.Builder
		for _, f := range facts {
			fmt.Fprintf(&b, "made of it: %s\n", factLine(f))
		}
		return fmt.Errorf("%s%w", b.String(), err)
	}
	return nil
}

// compare adds to what is expected what the view's webhook says, and compares
// all that is expected of what the webhook was about.
func (w *way) compare(v delivery.View, name string, about []string) error {
	row, _ := w.c.row(name)
	var changed []string
	for _, line := range row {
		r := parse(line)
		here := w.twin(r.topic(), about)
		if here == "" {
			for _, said := range r.read(w.c, v, r.there) {
				if said != nil {
					return fmt.Errorf("%s: %s was sent and nothing came of it", r.there, show(said))
				}
			}
			continue
		}
		if there := subject(v, r.there); there != "" {
			if err := w.same(there, here); err != nil {
				return err
			}
		}
		if !slices.Contains(changed, here) {
			changed = append(changed, here)
		}
		said := r.read(w.c, v, r.there)
		for _, value := range said {
			if value != nil {
				w.said(line)
				w.said(name)
			}
		}
		w.expect(here, r, said)
	}
	for _, here := range changed {
		if err := w.verify(here); err != nil {
			return err
		}
	}
	return nil
}

// twin is the entity of a kind that a webhook was about.
func (w *way) twin(topic event.Topic, about []string) string {
	for _, of := range about {
		if strings.HasPrefix(of, string(topic)+"/") {
			return of
		}
	}
	return ""
}

// same notes that an entity here is one there: always the same one.
func (w *way) same(there, here string) error {
	kind, _, _ := strings.Cut(here, "/")
	there += " as " + kind
	if had, ok := w.twins[there]; ok && had != here {
		return fmt.Errorf("%s came as %s and now as %s", there, had, here)
	}
	if had, ok := w.twinOf[here]; ok && had != there {
		return fmt.Errorf("%s is %s and %s", here, had, there)
	}
	w.twins[there], w.twinOf[here] = here, there
	return nil
}

func (w *way) expect(here string, r reading, said map[string]any) {
	if w.expected[here] == nil {
		w.expected[here] = make(map[string]any)
	}
	for at, value := range said {
		key := r.here + "\x00" + at
		if value == nil && !r.clears {
			if r.loosens {
				delete(w.expected[here], key)
			}
			continue
		}
		if r.once {
			before := w.told[here+key]
			known := slices.ContainsFunc(before, func(b any) bool { return reflect.DeepEqual(b, value) })
			if known && !reflect.DeepEqual(before[len(before)-1], value) {
				delete(w.expected[here], key)
				continue
			}
			if known {
				continue
			}
			w.told[here+key] = append(before, value)
		}
		w.expected[here][key] = value
	}
}

func (w *way) verify(here string) error {
	now := w.to.view(here)
	var wrong []string
	for key, want := range w.expected[here] {
		path, at, _ := strings.Cut(key, "\x00")
		if got := (reading{}).read(w.c, now, path)[at]; !reflect.DeepEqual(got, want) {
			wrong = append(wrong, fmt.Sprintf("%s %s: sent %s, arrived %s", path, at, show(want), show(got)))
		}
	}
	if wrong == nil {
		return nil
	}
	slices.Sort(wrong)
	return fmt.Errorf("%s", strings.Join(wrong, "\n"))
}

func show(v any) string {
	b, err := event.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
