package httpapi_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/commands/settings"
	"trunkline.dev/trunkline/domain/tenant"
)

// A list of a country that does not exist was made, and then refused each national
// number that it was sent.
func TestTheRegionOfAListIsOneOfTheLibrary(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	list := o.made(201, "POST", "/v1/lists", `{"name":"Berlin","default_region":"de"}`)["id"].(string)
	for _, region := range []string{"ZZ", "QQ", "zz", "D", "DEU", "49", "Ä", "001"} {
		for _, r := range []struct{ method, path string }{{"POST", "/v1/lists"}, {"PATCH", "/v1/lists/" + list}} {
			p := o.refused(o.do(r.method, r.path, `{"name":"x","default_region":"`+region+`"}`), 400)
			want := []commands.FieldError{{Pointer: "/default_region", Detail: "expected a country by its two letters (ISO 3166), for example US"}}
			if diff := cmp.Diff(want, p.Errors); diff != "" {
				t.Errorf("%s %s (-want +got):\n%s", r.method, region, diff)
			}
		}
	}
	for _, region := range []string{"GB", "br", "XK"} {
		o.made(200, "PATCH", "/v1/lists/"+list, `{"default_region":"`+region+`"}`)
	}

	// One that was made before can be changed in what is right, and put right.
	err := o.store.Change(t.Context(), func(now *settings.Snapshot) (settings.Changes, error) {
		org, _ := now.FirstOrg()
		l, _ := now.List(org.ID, list)
		l.DefaultRegion = "ZZ"
		return settings.Changes{Lists: []tenant.List{l}}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := o.made(200, "PATCH", "/v1/lists/"+list, `{"name":"Hamburg"}`); got["name"] != "Hamburg" || got["default_region"] != "ZZ" {
		t.Errorf("got %v", got)
	}
	o.made(200, "PATCH", "/v1/lists/"+list, `{"default_region":"DE"}`)
}

// The recordings of a list that kept them for thirty days were kept for ever once it was
// deleted.
func TestHowLongADeletedListKeptRecordingsStaysKnown(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	short := o.made(201, "POST", "/v1/lists", `{"name":"Short","recording_retention_days":30}`)["id"].(string)
	long := o.made(201, "POST", "/v1/lists", `{"name":"For ever"}`)["id"].(string)
	for _, id := range []string{short, long} {
		if got := o.do("DELETE", "/v1/lists/"+id, ""); got.Status != 204 {
			t.Fatalf("deleting it: %+v", got)
		}
	}
	now := o.store.Snapshot()
	org, _ := now.FirstOrg()
	want := []tenant.FormerList{{ID: short, Org: org.ID, RecordingRetentionDays: 30}}
	if diff := cmp.Diff(want, now.FormerLists(), cmpopts.IgnoreFields(tenant.FormerList{}, "DeletedAt")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
