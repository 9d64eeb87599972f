package settings_test

import (
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/commands/settings"
	"trunkline.dev/trunkline/commands/settings/settingstest"
)

// TestEverythingIsEverything: what seals all settings anew must forget none, of
// whatever kind comes next.
func TestEverythingIsEverything(t *testing.T) {
	t.Parallel()
	all := settingstest.Everything()
	got := settings.NewSnapshot(1, all).Everything()
	v := reflect.ValueOf(got)
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if name != "Deleted" && name != "Gone" && name != "Facts" && v.Field(i).Len() == 0 {
			t.Errorf("no %s in it", name)
		}
	}
	if diff := cmp.Diff(settingstest.All(settings.NewSnapshot(1, all)), settingstest.All(settings.NewSnapshot(1, got))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
