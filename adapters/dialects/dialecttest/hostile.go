package dialecttest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"pgregory.net/rapid"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/catalog"
	"trunkline.dev/trunkline/domain/event"
)

// HostileFacts draws facts of all kinds about few entities, in any order, with
// hostile content in every field that a customer can fill. The fields are those
// of the event types, so a new one is filled from the day it exists.
func HostileFacts() *rapid.Generator[[]commands.Fact] {
	byTopic := make(map[event.Topic][]reflect.Type)
	for _, e := range catalog.All() {
		for _, topic := range event.PublicTopics() {
			if !event.On(topic, e.Type) {
				continue
			}
			byTopic[topic] = append(byTopic[topic], reflect.TypeOf(e.Payload))
			if !e.Own || e.Type == (call.Settled{}.EventType()) { // what webhooks are made of
				byTopic[topic] = append(byTopic[topic], reflect.TypeOf(e.Payload), reflect.TypeOf(e.Payload))
			}
		}
	}
	// Calls twice: they make most webhooks, after several facts of one call.
	topics := append(event.PublicTopics(), event.Calls, event.Calls)
	return rapid.Custom(func(t *rapid.T) []commands.Fact {
		agents := rapid.SliceOfN(rapid.StringN(1, 12, -1), 1, 2).Draw(t, "agents")
		var facts []commands.Fact
		for n := range rapid.SampledFrom([]int{2, 20, 40, 60}).Draw(t, "facts") {
			of := rapid.SampledFrom(byTopic[rapid.SampledFrom(topics).Draw(t, "topic")]).Draw(t, "type")
			p := payload(t, of)
			f := commands.Fact{
				Payload: p, ExternalID: rapid.SampledFrom([]string{"one", "one", "two"}).Draw(t, "entity"), EventKey: strconv.Itoa(n),
				OccurredAt: moment().Draw(t, "occurred_at"),
			}
			if topic, _ := event.TopicOf(p.EventType()); topic == event.Agents {
				f.Subject, f.ExternalID = rapid.SampledFrom(agents).Draw(t, "agent"), ""
			}
			facts = append(facts, f)
		}
		return facts
	})
}

// payload draws the data of an event as its JSON, which is how it comes in, and
// reads it as everybody does.
func payload(t *rapid.T, of reflect.Type) event.Payload {
	data := drawn{t, "data"}.object(of)
	p, err := catalog.Decode(reflect.Zero(of).Interface().(event.Payload).EventType(), []byte(data))
	if err != nil {
		t.Fatalf("%s does not fit %s: %v", data, of, err)
	}
	return p
}

// drawn draws JSON for a Go type; at names the value for rapid.
type drawn struct {
	t  *rapid.T
	at string
}

func (d drawn) in(name string) drawn { return drawn{d.t, d.at + "." + name} }

var (
	rawType  = reflect.TypeFor[json.RawMessage]()
	timeType = reflect.TypeFor[time.Time]()
)

func (d drawn) value(of reflect.Type) string {
	switch of {
	case rawType:
		return HostileJSON(2).Draw(d.t, d.at)
	case timeType:
		return strconv.Quote(moment().Draw(d.t, d.at).Format(time.RFC3339Nano))
	}
	switch of.Kind() {
	case reflect.String:
		return HostileString().Draw(d.t, d.at)
	case reflect.Bool:
		return strconv.FormatBool(rapid.Bool().Draw(d.t, d.at))
	case reflect.Int, reflect.Int64:
		return strconv.FormatInt(rapid.Int64().Draw(d.t, d.at), 10)
	case reflect.Float64:
		return strconv.FormatFloat(rapid.Float64().Draw(d.t, d.at), 'g', -1, 64)
	case reflect.Pointer:
		if rapid.IntRange(0, 3).Draw(d.t, d.at+"?") == 0 {
			return "null"
		}
		return d.value(of.Elem())
	case reflect.Slice:
		items := make([]string, rapid.IntRange(0, 3).Draw(d.t, d.at+"#"))
		for i := range items {
			items[i] = d.in(strconv.Itoa(i)).value(of.Elem())
		}
		return "[" + strings.Join(items, ",") + "]"
	case reflect.Map:
		members := make([]string, rapid.IntRange(0, 4).Draw(d.t, d.at+"#"))
		for i := range members {
			members[i] = hostileKey().Draw(d.t, d.at+" key") + ":" + d.in(strconv.Itoa(i)).value(of.Elem())
		}
		return "{" + strings.Join(members, ",") + "}"
	case reflect.Struct:
		if opt, ok := of.FieldByName("Value"); ok && strings.HasPrefix(of.Name(), "Opt[") {
			if rapid.IntRange(0, 3).Draw(d.t, d.at+"?") == 0 {
				return "null"
			}
			return d.value(opt.Type)
		}
		return d.object(of)
	}
	panic(fmt.Sprintf("%s is a %s: teach dialecttest to fill it", d.at, of))
}

func (d drawn) object(of reflect.Type) string {
	var members []string
	for _, f := range reflect.VisibleFields(of) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" || name == "-" || !f.IsExported() {
			continue
		}
		member := d.in(name)
		if name != "phone" && rapid.IntRange(0, 5).Draw(d.t, member.at+"?") == 0 {
			continue // absent
		}
		members = append(members, strconv.Quote(name)+":"+member.field(f, name))
	}
	return "{" + strings.Join(members, ",") + "}"
}

// field draws a field of a struct: intake lets only so much into some.
func (d drawn) field(f reflect.StructField, name string) string {
	among := func(words ...string) string { return strconv.Quote(rapid.SampledFrom(words).Draw(d.t, d.at)) }
	switch {
	case f.Tag.Get("pii") == "phone" && f.Type.Kind() == reflect.String:
		return among("+15551234567", "+14143756757", "+442079460000")
	case name == "direction":
		return among("inbound", "outbound")
	case name == "type":
		return among("SMS", "MMS")
	case name == "speaker":
		return among("agent", "customer", "external")
	case name == "waited_for":
		return among("disposition", "transcript")
	case name == "list_id":
		return among("list-q2", "list-odd", "list-unknown")
	}
	return d.value(f.Type)
}

// moment draws a time that a store keeps: to the microsecond, in our era.
func moment() *rapid.Generator[time.Time] {
	return rapid.Map(rapid.Int64Range(0, 4_102_444_800_000_000), func(us int64) time.Time { return time.UnixMicro(us).UTC() })
}

// HostileJSON draws JSON of a depth as nobody writes it.
func HostileJSON(depth int) *rapid.Generator[string] {
	leaf := rapid.OneOf(
		rapid.SampledFrom([]string{"null", "true", "false", "0", "-0", "1e21", "1e-7", "180.0", "1e308", "1e309", "-1E-400", "0.1e1", "4294967295", "9007199254740993", "123456789012345678901234567890"}),
		rapid.Map(rapid.Float64(), func(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }),
		rapid.Map(rapid.Float64(), func(f float64) string { return strconv.FormatFloat(f, 'e', 25, 64) }),
		rapid.Map(rapid.Int64(), func(n int64) string { return strconv.FormatInt(n, 10) }),
		HostileString(),
	)
	if depth == 0 {
		return leaf
	}
	inner := HostileJSON(depth - 1)
	object := rapid.Custom(func(t *rapid.T) string {
		var members []string
		for range rapid.IntRange(0, 6).Draw(t, "members") {
			members = append(members, hostileKey().Draw(t, "key")+rapid.SampledFrom([]string{":", " : ", ":\n"}).Draw(t, "colon")+inner.Draw(t, "value"))
		}
		return "{" + strings.Join(members, " , ") + "}"
	})
	array := rapid.Map(rapid.SliceOfN(inner, 0, 5), func(v []string) string { return "[" + strings.Join(v, ",\t") + "]" })
	return rapid.OneOf(leaf, object, array)
}

// hostileKey draws keys of objects, those among them that JavaScript moves.
func hostileKey() *rapid.Generator[string] {
	return rapid.OneOf(HostileString(), rapid.SampledFrom([]string{`"0"`, `"1"`, `"10"`, `"01"`, `"-0"`, `"4294967294"`, `"4294967295"`, `"__proto__"`, `"constructor"`, `"a"`, `"\u0061"`, `"toJSON"`}))
}

// HostileString draws JSON string literals of what is rarely tested.
func HostileString() *rapid.Generator[string] {
	piece := rapid.OneOf(
		rapid.SampledFrom([]string{"<br>", "&", "</script>", `\u2028`, "\u2029", `\ud83d`, `\ude00`, `\uD83D\uDE00`, "😀", "👩‍👩‍👧", `\/`, `\"`, `\\`, `\n`, `\u0000`, `\u001f`, "\u007f", "é", "\uFFFD", "\ufeff", `\ufeff`, "1", "a"}),
		rapid.StringMatching(`\\u[0-9a-fA-F]{4}`),
		rapid.StringMatching(`[a-z0-9 ]{0,3}`),
	)
	return rapid.Map(rapid.SliceOfN(piece, 0, 8), func(p []string) string { return `"` + strings.Join(p, "") + `"` })
}
