package event_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"trunkline.dev/trunkline/domain/event"
)

type (
	word  string
	inner struct {
		Name  string `json:"name"`
		Value word   `json:"value,omitempty"`
	}
	Embedded struct {
		First  string         `json:"first"`
		Second event.Position `json:"second"`
	}
	// everything has a field of each kind that is read and written without
	// encoding/json, with each option.
	everything struct {
		Embedded
		Text     string                     `json:"text"`
		Word     word                       `json:"word,omitempty"`
		Int      int                        `json:"int"`
		Narrow   int32                      `json:"narrow,omitempty"`
		Wide     int64                      `json:"wide,omitempty"`
		Count    uint64                     `json:"count,omitempty"`
		Float    float64                    `json:"float"`
		Bool     bool                       `json:"bool,omitempty"`
		At       time.Time                  `json:"at"`
		Since    time.Time                  `json:"since,omitzero"`
		Until    *time.Time                 `json:"until,omitempty"`
		Raw      json.RawMessage            `json:"raw,omitempty"`
		Custom   map[string]json.RawMessage `json:"custom,omitempty"`
		Pairs    map[string]json.RawMessage `json:"pairs"`
		Inner    inner                      `json:"inner,omitzero"`
		Pointer  *inner                     `json:"pointer"`
		Double   **int64                    `json:"double,omitempty"`
		List     []inner                    `json:"list"`
		Words    []word                     `json:"words,omitempty"`
		Opt      event.Opt[string]          `json:"opt,omitzero"`
		OptList  event.Opt[[]inner]         `json:"opt_list,omitzero"`
		OptShown event.Opt[*time.Time]      `json:"opt_shown"`
		Untagged string
		Hidden   map[int]chan string `json:"-"`
		hidden   string              //nolint:unused // it is there to be passed over
	}
	// left are types that encoding/json treats in ways of its own.
	left struct {
		Bytes  []byte            `json:"bytes"`
		Number json.Number       `json:"number"`
		Map    map[string]string `json:"map"`
		Any    any               `json:"any"`
		Quoted int               `json:"quoted,string"`
		Self   *left             `json:"self,omitempty"`
	}
)

// texts are JSON texts that everything can be read from, and that it cannot.
func texts() []string {
	all := []string{
		`{}`, ` { } `, `null`, `[]`, `"a"`, ``, `{`, `{"text"}`, `{"text":}`, `{"text":"a",}`, `{,"text":"a"}`, `{"text":"a" "int":1}`, `{"text":"a"}x`,
		`{"text":"a","int":1,"float":1.5,"bool":true,"at":"2026-03-07T15:30:00.123456Z","raw":{"a": [1, 2]},"Untagged":"u"}`,
		"{ \"first\" : \"f\" ,\n \"second\" : { \"topic\" : \"t\" , \"partition\" : 3 , \"offset\" : 7 } , \"unknown\" : [ { } ] }",
		`{"first":"f","second":{"topic":"t","partition":3,"offset":7},"text":"` + strings.Repeat("long ", 100) + `"}`,
		`{"TEXT":"other case","Int":2}`, `{"text":"a","text":"b"}`, `{"text":"a","TEXT":"b"}`, `{"\u0074ext":"escaped name"}`, `{"hidden":"h","Hidden":{},"-":1}`,
		`{"ſecond":{"offset":9}}`, // folds to "second"
		`{"text":null,"word":null,"int":null,"float":null,"bool":null,"at":null,"until":null,"raw":null,"custom":null,"inner":null,"pointer":null,"double":null,"list":null,"opt":null,"opt_list":null,"second":null}`,
		`{"text":1}`, `{"int":"1"}`, `{"int":1.5}`, `{"int":1e2}`, `{"int":-0}`, `{"int":01}`, `{"wide":9223372036854775807}`, `{"wide":9223372036854775808}`, `{"narrow":2147483648}`, `{"narrow":-2147483648}`,
		`{"count":18446744073709551615}`, `{"count":18446744073709551616}`, `{"count":-1}`, `{"count":-0}`, `{"count":1.0}`,
		`{"float":1e400}`, `{"float":-0}`, `{"float":1e-9}`, `{"float":1E+22}`, `{"float":123456789012345678}`, `{"float":true}`, `{"bool":"true"}`, `{"bool":tru}`, `{"bool":false}`,
		`{"at":"yesterday"}`, `{"at":7}`, `{"at":"2026-03-07T15:30:00+01:00"}`, `{"at":"2026-03-07T15:30:00,5Z"}`, `{"at":"\u0032026-03-07T15:30:00Z"}`, `{"at":"0000-01-01T00:00:00Z","since":"0001-01-01T00:00:00Z"}`,
		`{"at":"9999-12-31T23:59:59.999999999Z"}`, `{"at":"9999-12-31T23:59:59-00:01"}`, `{"since":"0000-01-01T00:59:59+01:00"}`, `{"until":"9999-12-31T23:59:59-01:00"}`, `{"opt_shown":"9999-12-31T23:59:59-01:00","other":1}`,
		`{"text":"\"\\\/\b\f\n\r\t\u00e9\u2028\u0000é👩"}`, `{"text":"\ud83d\udc69"}`, `{"text":"\ud83d"}`, `{"text":"\udc69\ud83d"}`, `{"text":"\u12g4"}`, `{"text":"\x"}`, "{\"text\":\"a\nb\"}", "{\"text\":\"\xff\"}", "{\"\xff\":1}", "{\"raw\":\"\xff\"}",
		`{"text":"` + strings.Repeat(`say \"hi\" `, 40) + `","word":"\n\n"}`,
		`{"custom":{}}`, `{"custom":{ }}`, `{"custom":{"a":1,"b":{"c" : [ null ]},"a":"again"}}`, `{"custom":{ "k\n" : null , "":[] }}`, `{"custom":[]}`, `{"custom":{"a"}}`, `{"custom":{"\ud800":1}}`, `{"custom":{"a":1,}}`,
		`{"pointer":{"name":"n","value":"v"},"inner":{"name":"n"},"double":5}`, `{"pointer":{"name":"n"},"pointer":{"value":"v"}}`,
		`{"list":[]}`, `{"list":[ ]}`, `{"list":[{"name":"a"},{"value":"b"},null,{}]}`, `{"list":[ {"name":"a"} , {"name":"b"} ]}`, `{"list":[{}{}]}`, `{"list":[,]}`, `{"list":[{},]}`, `{"list":{}}`, `{"list":[1]}`, `{"words":["a","","c"]}`,
		`{"opt":"","opt_list":[{"name":"n"}]}`, `{"opt":7}`, `{"opt_list":[null]}`, `{"opt_shown":"2026-03-07T15:30:00Z"}`, `{"opt_shown":null}`, `{"opt":"a","opt":null}`,
	}
	for _, depth := range []int{4_000, 6_000, 9_998, 9_999, 10_000} {
		all = append(all, `{"raw":`+strings.Repeat("[", depth)+strings.Repeat("]", depth)+`}`)
	}
	return all
}

type reporter interface {
	Helper()
	Errorf(string, ...any)
	Fatal(...any)
}

// beyond reports whether there is a time that cannot be written in UTC.
func beyond(v everything) bool {
	times := []time.Time{v.At, v.Since}
	for _, t := range []*time.Time{v.Until, v.OptShown.Value} {
		if t != nil {
			times = append(times, *t)
		}
	}
	return slices.ContainsFunc(times, func(t time.Time) bool {
		_, err := t.UTC().MarshalJSON()
		return err != nil
	})
}

// likeTheLibrary holds what is read of data, and what is written of that,
// against encoding/json.
func likeTheLibrary(t reporter, data []byte) {
	t.Helper()
	var got, want everything
	gotErr, wantErr := event.Unmarshal(data, &got), json.Unmarshal(data, &want)
	if wantErr == nil && beyond(want) {
		if !errors.Is(gotErr, event.ErrTime) {
			t.Errorf("%.300q gives the error %v, want %v", data, gotErr, event.ErrTime)
		}
		return
	}
	if !reflect.DeepEqual(gotErr, wantErr) {
		t.Errorf("%.300q gives the error %v, encoding/json says %v", data, gotErr, wantErr)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%.300q is read otherwise: %s", data, cmp.Diff(want, got, cmp.AllowUnexported(everything{})))
	}
	writtenLikeTheLibrary(t, want)
	writtenLikeTheLibrary(t, &want)
}

func writtenLikeTheLibrary(t reporter, v any) {
	t.Helper()
	got, gotErr := event.Marshal(v)
	var want bytes.Buffer
	e := json.NewEncoder(&want)
	e.SetEscapeHTML(false)
	wantErr := e.Encode(v)
	if (gotErr == nil) != (wantErr == nil) || gotErr != nil && gotErr.Error() != wantErr.Error() {
		t.Errorf("%+v gives the error %v, encoding/json says %v", v, gotErr, wantErr)
	}
	if wantErr == nil && string(got)+"\n" != want.String() {
		t.Errorf("%+v is written as\n%s, by encoding/json as\n%s", v, got, &want)
	}
}

func TestReadingAndWritingAreWhatTheLibrarySays(t *testing.T) {
	t.Parallel()
	for _, text := range texts() {
		likeTheLibrary(t, []byte(text))
	}
	fields := rapid.SampledFrom([]string{`"text":`, `"first":`, `"word":`, `"int":`, `"float":`, `"at":`, `"raw":`, `"custom":`, `"list":`, `"opt":`, `"opt_list":`, `"inner":`, `"name":`, `"value":`, `"other":`, `"second":`, `"offset":`})
	values := rapid.SampledFrom([]string{`"a"`, `"\n\u00e9"`, `1`, `-1.5`, `null`, `true`, `"2026-03-07T15:30:00Z"`, `"9999-12-31T23:59:59-01:00"`, `[`, `]`, `{`, `}`, `,`, ` `})
	rapid.Check(t, func(t *rapid.T) {
		text := "{"
		for range rapid.IntRange(0, 12).Draw(t, "parts") {
			text += fields.Draw(t, "field") + values.Draw(t, "value") + rapid.SampledFrom([]string{",", ",", "", "}"}).Draw(t, "end")
		}
		likeTheLibrary(t, []byte(strings.TrimSuffix(text, ",")+"}"))
	})
}

func FuzzUnmarshal(f *testing.F) {
	for _, text := range texts() {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) { likeTheLibrary(t, data) })
}

func FuzzMarshalText(f *testing.F) {
	for _, text := range []string{"", "plain", "\"\\/\b\f\n\r\t\x00\x1f\x7f", "<br>&\u2028\u2029", "é👩\ufffd", "\xff\xc3\xe2\x80", "\xed\xa0\x80"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v := inner{Name: text, Value: word(text)}
		writtenLikeTheLibrary(t, v)
		writtenLikeTheLibrary(t, map[string]json.RawMessage{text: json.RawMessage(text)})
		b, err := event.Marshal(v)
		var got, want inner
		if err != nil || event.Unmarshal(b, &got) != nil || json.Unmarshal(b, &want) != nil || got != want {
			t.Errorf("%q became %q, by encoding/json %q: %v", text, got, want, err)
		}
	})
}

func TestOddValuesAreWrittenAsTheLibraryDoes(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("", 3600)
	for _, at := range []time.Time{{}, time.Date(2026, 3, 7, 15, 30, 0, 120_000_000, zone), time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 3, 7, 0, 0, 0, 0, time.FixedZone("", 24*3600))} {
		writtenLikeTheLibrary(t, everything{At: at, Since: at, Until: &at, OptShown: event.Some(&at)})
	}
	for _, f := range []float64{0, math.Copysign(0, -1), 41.7, 1e-6, 9.9e-7, 1e20, 1e21, -1e21, math.MaxFloat64, math.SmallestNonzeroFloat64, math.NaN(), math.Inf(1), math.Inf(-1)} {
		writtenLikeTheLibrary(t, everything{Float: f})
	}
	for _, raw := range []string{" ", "{", `{"a":1} x`, " { \"a\\\" b\" : [ 1 ,\t2 ] }\n", `"<br>&` + "\u2028\"", "\"\xff\"", `"\u003c"`, "1 "} {
		writtenLikeTheLibrary(t, everything{Raw: json.RawMessage(raw), Custom: map[string]json.RawMessage{"b": json.RawMessage(raw), "a\n": nil, "": {}}})
		writtenLikeTheLibrary(t, everything{Raw: json.RawMessage(raw), Pairs: map[string]json.RawMessage{"b": json.RawMessage(raw), "a\n": nil}})
	}
	writtenLikeTheLibrary(t, (*everything)(nil))
	writtenLikeTheLibrary(t, nil)
	writtenLikeTheLibrary(t, []inner(nil))
	writtenLikeTheLibrary(t, left{Bytes: []byte("b"), Number: "7", Any: 1, Quoted: 5, Self: &left{Map: map[string]string{"a": "b"}}})
}

func TestTypesOfTheirOwnAreLeftToTheLibrary(t *testing.T) {
	t.Parallel()
	data := []byte(`{"bytes":"Yg==","number":7,"map":{"a":"b"},"any":[1],"quoted":"5","self":{"number":1}}`)
	var got, want left
	if err := event.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if err := event.Unmarshal(data, left{}); err == nil {
		t.Error("what is no pointer was read into")
	}
	if err := event.Unmarshal(data, (*left)(nil)); err == nil {
		t.Error("nothing was read into")
	}
}

func TestWhatIsThereAlreadyIsMergedAsByTheLibrary(t *testing.T) {
	t.Parallel()
	there := func() everything {
		return everything{Text: "kept", List: []inner{{Name: "old"}}, Pointer: &inner{Value: "old"}, Pairs: map[string]json.RawMessage{"old": nil}}
	}
	data := []byte(`{"int":1,"list":[{"value":"new"}],"pointer":{"name":"new"},"pairs":{"new":1}}`)
	got, want := there(), there()
	if event.Read(data, &got) || !reflect.DeepEqual(got, want) {
		t.Errorf("Read touched a value that is not zero: %+v", got)
	}
	if err := event.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("merged otherwise: %+v, by encoding/json %+v", got, want)
	}
}

// Wherever it stands: what has it can be read, and not stored.
func TestATimeThatCannotBeWrittenIsNotRead(t *testing.T) {
	t.Parallel()
	type within struct {
		List  []struct{ At *time.Time }
		Map   map[string]time.Time
		Twice [2]time.Time
		Embedded
		Opt event.Opt[time.Time]
		Raw json.RawMessage
	}
	for text, want := range map[string]error{
		`{"List":[{"At":null},{"At":"9999-12-31T23:59:59-01:00"}]}`:                                                     event.ErrTime,
		`{"Map":{"a":"2026-03-07T15:30:00Z","b":"0000-01-01T00:00:00+01:00"}}`:                                          event.ErrTime,
		`{"Twice":["2026-03-07T15:30:00Z","9999-12-31T23:59:59-01:00"]}`:                                                event.ErrTime,
		`{"Opt":"9999-12-31T23:59:59-01:00"}`:                                                                           event.ErrTime,
		`{"Raw":"9999-12-31T23:59:59-01:00","first":"9999-12-31T23:59:59-01:00","Opt":"9999-12-31T23:59:59Z","Map":{}}`: nil,
	} {
		if err := event.Unmarshal([]byte(text), new(within)); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", text, err, want)
		}
	}
}

// TestReadIsStrict: commands refuse unknown names, and ask Read first.
func TestReadIsStrict(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		`{"text":"a","inner":{"name":"n"}}`: true, ` { } `: true, `{"text":null}`: true,
		`{"text":"a","other":1}`: false, `{"TEXT":"a"}`: false, `{"inner":{"nam":"n"}}`: false, `{"opt_list":[{"nam":"n"}]}`: false,
		`{"text":"a","text":"b"}`: false, `{"text":"a"} 1`: false, `{"text":1}`: false, `{"at":"9999-12-31T23:59:59-01:00"}`: false, "{\"text\":\"\xff\"}": false,
	} {
		var v everything
		if got := event.Read([]byte(text), &v); got != want || !got && !reflect.DeepEqual(v, everything{}) {
			t.Errorf("%s: %v, %+v", text, got, v)
		}
	}
}
