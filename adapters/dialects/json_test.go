package dialects_test

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"trunkline.dev/trunkline/adapters/dialects"
	"trunkline.dev/trunkline/adapters/dialects/dialecttest"
)

func TestBodiesAreWrittenAsJavaScriptWould(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, in, want string }{
		{"HTML is not escaped", `"<br>&amp;"`, `"<br>&amp;"`},
		{"escaped HTML is unescaped", `"\u003cbr\u003e"`, `"<br>"`},
		{"line separators are literal", "\"\\u2028\\u2029\"", "\"\u2028\u2029\""},
		{"slashes are literal", `"a\/b"`, `"a/b"`},
		{"control characters are short", `"\u0008\u000c\u000a\u000d\u0009\u0001\u001F"`, `"\b\f\n\r\t\u0001\u001f"`},
		{"DEL is literal", `"\u007f"`, "\"\u007f\""},
		{"surrogate pairs are joined", `"\ud83d\ude00"`, `"😀"`},
		{"a lone high surrogate stays an escape", `"\uD83D!"`, `"\ud83d!"`},
		{"a lone low surrogate stays an escape", `"\uDE00"`, `"\ude00"`},
		{"two high surrogates and a low one", `"\ud83d\ud83d\ude00"`, `"\ud83d😀"`},
		{"a high surrogate before another escape", `"\ud83d\u0041"`, `"\ud83dA"`},
		{"bytes that are not UTF-8", "\"a\xffb\"", "\"a\uFFFDb\""},
		{"trailing zeros go", `180.0`, `180`},
		{"minus zero", `-0`, `0`},
		{"minus zero with a fraction", `-0.0`, `0`},
		{"the first exponent", `1000000000000000000000`, `1e+21`},
		{"the last without one", `100000000000000000000`, `100000000000000000000`},
		{"small numbers", `0.0000001`, `1e-7`},
		{"the last small without an exponent", `0.000001`, `0.000001`},
		{"beyond 2^53", `9007199254740993`, `9007199254740992`},
		{"a long fraction", `0.1000000000000000055511151231257827`, `0.1`},
		{"too large is null", `1e400`, `null`},
		{"too small is zero", `1e-400`, `0`},
		{"the smallest", `5e-324`, `5e-324`},
		{"array indices come first", `{"b":1,"10":2,"9":3,"a":4,"0":5}`, `{"0":5,"9":3,"10":2,"b":1,"a":4}`},
		{"what only looks like an index", `{"b":1,"01":2,"-1":3,"1.5":4,"4294967295":5,"4294967294":6}`, `{"4294967294":6,"b":1,"01":2,"-1":3,"1.5":4,"4294967295":5}`},
		{"the last of a repeated key wins in the first place", `{"a":1,"b":2,"a":3}`, `{"a":3,"b":2}`},
		{"a repeated key in another spelling", `{"a":1,"\u0061":3}`, `{"a":3}`},
		{"many keys, one of them repeated", `{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1,"j":1,"k":1,"l":1,"m":1,"n":1,"o":1,"p":1,"q":1,"a":{"b":2}}`, `{"a":{"b":2},"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1,"j":1,"k":1,"l":1,"m":1,"n":1,"o":1,"p":1,"q":1}`},
		{"many keys, none of them repeated", `{"q":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1,"j":1,"k":1,"l":1,"m":1,"n":1,"o":1,"p":1,"a":{}}`, `{"q":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1,"j":1,"k":1,"l":1,"m":1,"n":1,"o":1,"p":1,"a":{}}`},
		{"objects out of order in one another", `{"b":[{"x":1,"2":{"y":1,"x":[],"y":2}},{"1":1}],"b":{"b":1,"0":{"a":1,"a":2}},"a":0}`, `{"b":{"0":{"a":2},"b":1},"a":0}`},
		{"escapes among plain text", `"a\\b\"c\/dü\u00fc\ud800ü"`, `"a\\b\"c/düü\ud800ü"`},
		{"__proto__ is a key", `{"__proto__":{"x":1},"constructor":2}`, `{"__proto__":{"x":1},"constructor":2}`},
		{"white space goes", " { \"a\" : [ 1 , true , null , false ] } ", `{"a":[1,true,null,false]}`},
		{"empty ones", `{"a":{},"b":[],"":""}`, `{"a":{},"b":[],"":""}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := dialects.AppendRaw(nil, json.RawMessage(c.in), false)
			if err != nil || string(got) != c.want {
				t.Errorf("%s became %s (%v), want %s", c.in, got, err, c.want)
			}
			dialecttest.FixedPoint(t, got)
		})
	}
}

func TestExactNumbersKeepTheirDigits(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"9007199254740993": "9007199254740993", "180.0": "180", "1e400": "1e400", "-0": "0", "0.10": "0.1",
		"12345678901234567890": "12345678901234567890", "1E2": "100", "1e99999999999999999999": "1e99999999999999999999",
		"123456789012345680000": "123456789012345680000", "-1.50e1": "-15",
	} {
		got, err := dialects.AppendRaw(nil, json.RawMessage(in), true)
		if err != nil || string(got) != want {
			t.Errorf("%s became %s (%v), want %s", in, got, err, want)
		}
	}
}

func TestWhatIsNotJSONIsRefused(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"", "{", `{"a"}`, "01", "nul", `"\x"`, "[1,]", strings.Repeat("[", 20_000)} {
		if got, err := dialects.AppendRaw(nil, json.RawMessage(in), false); err == nil {
			t.Errorf("%.20q became %.20q", in, got)
		}
	}
}

// TestJavaScriptAgrees writes thousands of hostile values and asks Node about
// all of them at once: what we write must be what Node makes of it, and what
// Node makes of the value before we touched it.
func TestJavaScriptAgrees(t *testing.T) {
	t.Parallel()
	var bodies [][]byte
	var originals []string
	value := dialecttest.HostileJSON(3)
	rapid.Check(t, func(rt *rapid.T) {
		for range 8 {
			raw := value.Draw(rt, "value")
			body, err := dialects.AppendRaw(nil, json.RawMessage(raw), false)
			if err != nil {
				rt.Fatalf("%s: %v", raw, err)
			}
			again, err := dialects.AppendRaw(nil, body, false)
			if err != nil || string(again) != string(body) {
				rt.Fatalf("%s is no fixed point of ours: %s", body, again)
			}
			m, err := dialects.AppendMap(nil, map[string]json.RawMessage{
				rapid.String().Draw(rt, "key"): json.RawMessage(raw), rapid.StringMatching(`[0-9]{1,11}`).Draw(rt, "index"): json.RawMessage("1"), "x": json.RawMessage("2"),
			})
			if err != nil {
				rt.Fatal(err)
			}
			f := dialects.AppendFloat(nil, math.Float64frombits(rapid.Uint64().Draw(rt, "bits")))
			s := dialects.AppendString(nil, string(rapid.SliceOf(rapid.Byte()).Draw(rt, "bytes")))
			bodies = append(bodies, body, m, f, s)
			originals = append(originals, base64.StdEncoding.EncodeToString([]byte(raw)))
		}
	})
	dialecttest.FixedPoint(t, bodies...)

	var theirs []string
	dialecttest.Node(t, "stringify.js", originals, &theirs)
	for i := range theirs {
		if ours := string(bodies[4*i]); ours != theirs[i] {
			t.Errorf("we wrote %q, JavaScript writes %q", ours, theirs[i])
		}
	}
}

// TestTheJudgeSaysNo makes sure that the judge of all bodies can find fault.
func TestTheJudgeSaysNo(t *testing.T) {
	t.Parallel()
	bad := []string{`180.0`, `{"a": 1}`, `{"b":1,"1":2}`, `"\u003c"`, `"\u2028"`, `"\uD83D"`, `1E21`, "{}\n", `{"a":1,"a":2}`, `{`}
	cases := make([]string, len(bad))
	for i, b := range bad {
		cases[i] = base64.StdEncoding.EncodeToString([]byte(b))
	}
	var wrong []struct{ Index int }
	dialecttest.Node(t, "fixedpoint.js", cases, &wrong)
	if len(wrong) != len(bad) {
		t.Errorf("of %d bodies that JavaScript would change it found %v", len(bad), wrong)
	}
}
