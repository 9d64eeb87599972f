package dialects_test

import (
	"encoding/json"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"trunkline.dev/trunkline/adapters/dialects"
	"trunkline.dev/trunkline/domain/tenant"
)

// The form that JSON.stringify gives a body is made before it is known who sent it.
// Objects that JavaScript holds in another order were written once more for each one
// around them: a megabyte of them took seconds.
func TestANestedBodyCostsWhatItsLengthDoes(t *testing.T) { // not parallel: it counts what the process allocates
	const depth = 5000
	body := strings.Repeat(`{"b":1,"0":`, depth) + `"` + strings.Repeat("a", 500<<10) + `"` + strings.Repeat("}", depth)
	header := http.Header{"X-Dialnote-Signature": {"sha256=" + strings.Repeat("ab", 32)}}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err := dialects.Dialnote{}.Verify(tenant.Connection{Secret: "whsec_c2VjcmV0"}, header, []byte(body))
	runtime.ReadMemStats(&after)
	if err == nil || !strings.Contains(err.Error(), "does not match") {
		t.Errorf("verified: %v", err)
	}
	if made := after.TotalAlloc - before.TotalAlloc; made > 50<<20 {
		t.Errorf("%d MiB were written of a body of %d KiB", made>>20, len(body)>>10)
	}
}

func TestObjectsWithinObjectsAreInJavaScriptsOrder(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`{"b":{"2":{"a":1,"1":[{"z":0,"0":{"y":1,"y":2}}]},"1":2},"0":{"1":1,"0":0}}`:   `{"0":{"0":0,"1":1},"b":{"1":2,"2":{"1":[{"0":{"y":2},"z":0}],"a":1}}}`,
		`[{"a":{"1":1,"0":{"d":4,"c":3}},"a":{"9":{"8":1,"7":2}}}, {"1":1,"0":"x"}, 5]`: `[{"a":{"9":{"7":2,"8":1}}},{"0":"x","1":1},5]`,
	} {
		got, err := dialects.AppendRaw([]byte("kept"), json.RawMessage(in), false)
		if err != nil || string(got) != "kept"+want {
			t.Errorf("%s\n is %s\nwant %s, %v", in, got, want, err)
		}
	}
}
