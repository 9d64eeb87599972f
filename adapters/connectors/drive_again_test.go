package connectors_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/adapters/connectors/drivefake"
	"trunkline.dev/trunkline/domain/delivery"
)

// Somebody tidies up: what is remembered of a folder or a file is not there any
// more, and nothing is put into the trash.
func TestDriveMakesAnewWhatSomebodyDeleted(t *testing.T) {
	t.Parallel()
	const list = "Calls/Q2 Florida Realtors"
	for name, tidy := range map[string]func(*drivefake.Drive, string){"deleted": (*drivefake.Drive).Delete, "in the trash": (*drivefake.Drive).Trash} {
		t.Run("a folder "+name, func(t *testing.T) {
			t.Parallel()
			r, d := newRig(t), newDrive(t)
			e := r.drive(d, map[string]any{"subfolders": "Calls/{list.name}"})
			story := r.newStory()
			r.succeeds(e, story.records("rec-1", 100))
			tidy(d, d.Folder("Calls"))
			r.succeeds(e, story.records("rec-2", 100))
			if diff := cmp.Diff([]string{"Calls", list}, d.Files(true)); diff != "" {
				t.Errorf("folders (-want +got):\n%s", diff)
			}
			if got := d.Files(false); len(got) != 1 || !strings.HasPrefix(got[0], list+"/") {
				t.Errorf("files %v", got)
			}
		})
		t.Run("a file "+name, func(t *testing.T) {
			t.Parallel()
			r, d := newRig(t), newDrive(t)
			e := r.drive(d, nil)
			v := r.newStory().records("rec-1", 100)
			for range 3 {
				r.succeeds(e, v)
				if got := d.Files(false); len(got) != 1 {
					t.Fatalf("files %v", got)
				}
				tidy(d, d.File().ID)
			}
		})
		t.Run("a file that was uploaded and not remembered "+name, func(t *testing.T) {
			t.Parallel()
			r, d := newRig(t), newDrive(t)
			e := r.drive(d, nil)
			story := r.newStory()
			v := story.records("rec-1", 100)
			r.succeeds(e, v)
			if err := r.steps.Put(t.Context(), e.Org, e.ID, "drive/file/"+story.recording("rec-1"), json.RawMessage(`{"id":"`+d.File().ID+`"}`)); err != nil {
				t.Fatal(err)
			}
			tidy(d, d.File().ID)
			r.succeeds(e, v)
			if got := d.Files(false); len(got) != 1 {
				t.Errorf("files %v", got)
			}
		})
	}
}

func TestDriveOfManyAtOnceMakesADeletedFolderOnce(t *testing.T) {
	t.Parallel()
	r, d := newRig(t), newDrive(t)
	e := r.drive(d, map[string]any{"subfolders": "list"})
	story := r.newStory()
	r.succeeds(e, story.records("rec-0", 100))
	d.Trash(d.File().Parents[0])
	var wg sync.WaitGroup
	for i := range 8 {
		one := r.one(e, story.records(fmt.Sprint("rec-", i+1), 100))
		wg.Go(func() {
			if o := r.deliver(e, one); o.Error != "" {
				t.Error(o.Error)
			}
		})
	}
	wg.Wait()
	if files, folders := d.Files(false), d.Files(true); len(files) != 8 || len(folders) != 1 {
		t.Errorf("%v in %v", files, folders)
	}
}

// The folder itself is the customer's: nothing is made in its stead.
func TestDrivePutsNothingIntoTheTrash(t *testing.T) {
	t.Parallel()
	r, d := newRig(t), newDrive(t)
	e := r.drive(d, nil)
	v := r.newStory().records("rec-1", 100)
	d.Trash(drivefake.Shared)
	r.fails(e, v, 0, "the folder is in the trash", "set another folder_id")
	d.Delete(drivefake.Shared)
	r.fails(e, v, 404, "There is no such folder")
}

// Two connectors, of one account or of two orgs: a copy in one's folder is none in
// the other's.
func TestDriveGivesEachConnectorItsCopy(t *testing.T) {
	t.Parallel()
	r, d := newRig(t), newDrive(t)
	v := r.newStory().records("rec-1", 100)
	for _, folder := range []string{"By list", "Archive", "Archive"} {
		e := r.drive(d, map[string]any{"subfolders": folder}, func(e *delivery.Endpoint) { e.ID = folder })
		r.succeeds(e, v)
		r.steps.forget()
	}
	want := []string{"By list/John Smith - 2026-11-28T12:01:00Z.mp3", "Archive/John Smith - 2026-11-28T12:01:00Z.mp3"}
	if diff := cmp.Diff(want, d.Files(false)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

// A file of before 2026-11-29 does not say whose copy it is. It is that of the
// connector whose folder it is in.
func TestDriveKnowsOldCopiesByTheirFolder(t *testing.T) {
	t.Parallel()
	r, d := newRig(t), newDrive(t)
	v := r.newStory().records("rec-1", 100)
	old := r.drive(d, map[string]any{"subfolders": "Calls/{list.name}"})
	r.succeeds(old, v)
	d.Lose("trunkline_connector_id")
	r.steps.forget()
	if got := r.succeeds(old, v).result("find the recording"); !strings.HasPrefix(got, "it is there: ") {
		t.Errorf("the connector that made it says %q", got)
	}
	other := r.drive(d, map[string]any{"folder_id": drivefake.Mine, "subject": drivefake.User}, func(e *delivery.Endpoint) { e.ID = "other" })
	r.succeeds(other, v)
	if got := d.Files(false); len(got) != 2 {
		t.Errorf("files %v", got)
	}
}
