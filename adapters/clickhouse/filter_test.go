package clickhouse

import (
	"fmt"
	"testing"
)

func TestFilterForgetsNothingAndIsSeldomWrong(t *testing.T) {
	t.Parallel()
	f := newFilter()
	const n = 200_000
	wrong := 0
	for i := range n {
		if f.add(entityKey{"org", fmt.Sprint(i)}) {
			wrong++
		}
	}
	for i := range n {
		if !f.add(entityKey{"org", fmt.Sprint(i)}) {
			t.Fatalf("entity %d is forgotten", i)
		}
	}
	if wrong > n/100 {
		t.Errorf("%d of %d were taken for known", wrong, n)
	}
	if f.add(entityKey{"another", "1"}) {
		t.Error("the same id of another org is taken for known")
	}
}
