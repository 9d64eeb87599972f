package projections_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/projections"
)

func TestQuietAsksLessAndLessOften(t *testing.T) {
	t.Parallel()
	var q projections.Quiet
	due := func(times int) (at []int) {
		for i := range times {
			if q.Due() {
				at = append(at, i+1)
			}
		}
		return at
	}
	if diff := cmp.Diff([]int{1, 2, 4, 8, 12, 16, 24, 32, 36}, due(47)); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	q.Broken()
	if diff := cmp.Diff([]int{1, 2}, due(3)); diff != "" {
		t.Errorf("asked after an event (-want +got):\n%s", diff)
	}
}
