package control_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/commands/idempotencytest"
	"trunkline.dev/trunkline/commands/settings"
	"trunkline.dev/trunkline/commands/settings/settingstest"
	"trunkline.dev/trunkline/domain/delivery"
)

// TestVersionsOutliveTheEndpoint changes an endpoint and deletes it: how it was
// set at any time stays known, without what may be a credential.
func TestVersionsOutliveTheEndpoint(t *testing.T) {
	t.Parallel()
	pool, _ := database(t)
	clock := idempotencytest.NewClock()
	sealing := keyring(t)
	s := start(t, pool, sealing, clock.Now)
	all := settingstest.Everything()
	apply(t, s, all)
	e := all.Endpoints[0]
	want := []delivery.Endpoint{e.Public()}
	for _, change := range []func(*delivery.Endpoint){
		func(e *delivery.Endpoint) { e.Events = []string{"call.*"} },
		func(e *delivery.Endpoint) { e.Filter = map[string]string{"disposition": "SALE"} },
	} {
		clock.Advance(time.Minute)
		change(&e)
		e.UpdatedAt = clock.Now().UTC().Truncate(time.Microsecond)
		apply(t, s, settings.Changes{Endpoints: []delivery.Endpoint{e}})
		want = append(want, e.Public())
	}
	clock.Advance(time.Minute)
	e = e.Public()
	e.DeletedAt = clock.Now().UTC().Truncate(time.Microsecond)
	e.UpdatedAt = e.DeletedAt
	apply(t, s, settings.Changes{Deleted: []settings.Ref{{Kind: settings.Endpoints, ID: e.ID}}, Gone: []delivery.Endpoint{e}})
	want = append(want, e)
	got, err := s.Versions(t.Context(), e.ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// Who starts later reads of those that were deleted lately.
	for after, want := range map[time.Duration][]delivery.Endpoint{0: {e}, settings.Remembered + time.Second: nil} {
		late := func() time.Time { return clock.Now().Add(after) }
		if diff := cmp.Diff(want, start(t, pool, sealing, late).Directory().Deleted(e.Org)); diff != "" {
			t.Errorf("%s after the deletion (-want +got):\n%s", after, diff)
		}
	}
	if none, err := s.Versions(t.Context(), "nobody"); err != nil || len(none) != 0 {
		t.Errorf("%v %v", none, err)
	}
}
