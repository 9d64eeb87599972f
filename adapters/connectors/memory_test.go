package connectors_test

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"trunkline.dev/trunkline/adapters/connectors/salesforcefake"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/delivery"
)

// TestNoRecordingIsInMemoryWhole uploads 300 MiB to each system that takes
// recordings, from a source that tells the length and from one that does not,
// and watches what the process holds meanwhile.
//
// It is not parallel: what others hold would be counted.
func TestNoRecordingIsInMemoryWhole(t *testing.T) { //nolint:paralleltest // see above
	const size = 300 << 20
	const most = 64 << 20
	slack, org, account, drive, server := newSlack(t), newSalesforce(t), newHubSpot(t), newDrive(t), newBucket(t)
	org.Add("Lead", salesforcefake.Record{"Name": "John Smith", "Phone": "5551234567"})
	r := newRig(t)
	for name, c := range map[string]struct {
		endpoint delivery.Endpoint
		// received is how many bytes the other system has.
		received func() int64
	}{
		"slack":        {r.bot(slack), func() int64 { return uploaded(slack.Messages()[0].Files) * size }},
		"salesforce":   {r.salesforce(org, nil), func() int64 { return org.Files()[0].Size }},
		"hubspot":      {r.hubspot(account, nil), func() int64 { f := account.Files(); return f[len(f)-1].Size }},
		"google_drive": {r.drive(drive, nil), func() int64 { return drive.File().Size }},
		"s3":           {r.s3(server, map[string]any{"key": "big"}), func() int64 { n, _ := server.sum(t, "big.mp3"); return n }},
	} {
		for i, path := range []string{"", "/chunked"} {
			if i > 0 && name != "hubspot" {
				continue // the spool is the same for all
			}
			t.Run(name+path, func(t *testing.T) {
				story := r.newStory()
				story.ends()
				if done := story.happens(call.Dispositioned{Disposition: "Sale"}); len(r.owed(c.endpoint, done)) > 0 {
					r.succeeds(c.endpoint, done)
				}
				v := story.stores(fmt.Sprint("big", i), fmt.Sprintf("%s%s/%d.mp3", r.recordings.URL, path, size))
				grown := growth(func() { r.succeeds(c.endpoint, v) })
				if got := c.received(); got != size {
					t.Errorf("the other system has %d bytes", got)
				}
				if grown > most {
					t.Errorf("the process grew by %d MiB over %d MiB", grown>>20, size>>20)
				}
			})
		}
	}
}

func uploaded(files []string) int64 { return int64(len(files)) }

// growth is by how much the heap was larger during f than before it.
func growth(f func()) int64 {
	runtime.GC()
	held := func() int64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := held()
	var most atomic.Int64
	done, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				most.Store(max(most.Load(), held()))
			}
		}
	}()
	f()
	close(done)
	<-watched
	return most.Load() - before
}
