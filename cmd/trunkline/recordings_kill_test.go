package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
)

// TestAKillInTheMiddleOfAFetch ends a hub with kill -9 while half of a recording
// is written: nothing of it can be had, and the next start fetches it whole. Then
// it looks at what half a gigabyte of recordings does to the hub's memory.
func TestAKillInTheMiddleOfAFetch(t *testing.T) {
	h := newHub(t, nil)
	h.start()
	admin := h.as(t, h.env["TRUNKLINE_ADMIN_KEY"])
	mp3 := audio(4 << 20)
	var asked atomic.Int64
	half := make(chan struct{}, 1)
	source := recordingSource(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "audio/mpeg")
		w.Header().Set("Content-Length", strconv.Itoa(len(mp3)))
		if asked.Add(1) > 1 {
			_, _ = w.Write(mp3)
			return
		}
		_, _ = w.Write(mp3[:len(mp3)/2])
		w.(http.Flusher).Flush()
		half <- struct{}{}
		<-r.Context().Done() // the hub is gone
	})
	id := admin.post("/v1/calls", object{"direction": "outbound", "from": "+14143756757", "to": "+15551234567", "started_at": moment(0)}).want(http.StatusCreated).text("id")
	admin.patch("/v1/calls/"+id, object{"recording": object{"url": source + "/a.mp3"}}).want(http.StatusOK)
	<-half
	eventually(t, "half a file", func(context.Context) error {
		if len(blobFiles(t, h, ".tmp")) != 1 {
			return errors.New("there is none")
		}
		return nil
	})
	h.kill()
	if whole := blobFiles(t, h, ""); len(whole) != 0 {
		t.Errorf("after the kill there are %q", whole)
	}
	h.start()
	rec := recordingOf(t, admin, id, "stored")
	if rec.text("sha256") != sha(mp3) || asked.Load() != 2 {
		t.Errorf("after %d requests it is %s", asked.Load(), rec.body)
	}
	if _, body := fetch(t, "GET", rec.text("url")); !bytes.Equal(body, mp3) {
		t.Errorf("the link gives %d bytes", len(body))
	}
	stored := 0
	for _, typ := range historyTypes(t, admin, id, "call.recording_stored.v1") {
		if typ == "call.recording_stored.v1" {
			stored++
		}
	}
	if whole := blobFiles(t, h, ""); stored != 1 || len(whole) != 1 {
		t.Errorf("it was stored %d times, in %q", stored, whole)
	}
	bigRecordings(t, h, admin)
}

// blobFiles are the files of the blob store whose names end so; "" is those that
// are whole.
func blobFiles(t *testing.T, h *hub, suffix string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(h.env["TRUNKLINE_DATA_DIR"], "blobs"), func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && (suffix == "") == !strings.HasSuffix(path, ".tmp") {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// big is a recording of an hour of nothing, uncompressed.
const big = 300 << 20

// bigRecordings brings 300 MiB in by a fetch and by an upload and takes them out
// again; the hub's memory must not notice.
func bigRecordings(t *testing.T, h *hub, admin caller) {
	source := recordingSource(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "audio/wav")
		_, _ = io.Copy(w, &zeros{left: big})
	})
	before := h.memory(t)
	id := admin.post("/v1/calls", object{"direction": "outbound", "from": "+14143756757", "to": "+15551234567", "started_at": moment(0)}).want(http.StatusCreated).text("id")
	admin.patch("/v1/calls/"+id, object{"recording": object{"url": source + "/a.wav"}}).want(http.StatusOK)
	rec := recordingOf(t, admin, id, "stored")
	if rec.at("bytes") != float64(big) {
		t.Errorf("it is %s", rec.body)
	}
	takeOut := func(url string) {
		t.Helper()
		resp, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if n, err := io.Copy(io.Discard, resp.Body); err != nil || n != big {
			t.Errorf("took out %d bytes: %v", n, err)
		}
	}
	takeOut(rec.text("url"))

	up := admin.post("/v1/calls", object{"direction": "inbound", "from": "+14143756757", "to": "+15551234567", "started_at": moment(0)}).want(http.StatusCreated).text("id")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, h.base()+"/v1/calls/"+up+"/recording", &zeros{left: big})
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+admin.key)
	req.Header.Set("Content-Type", "audio/wav")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		t.Fatalf("the upload is answered %d", resp.StatusCode)
	}
	takeOut(recordingOf(t, admin, up, "stored").text("url"))
	after := h.memory(t)
	t.Logf("peak memory of the hub: %d MiB before, %d MiB with 600 MiB in and 600 MiB out", before>>20, after>>20)
	if after-before > 100<<20 {
		t.Errorf("the hub's memory grew by %d MiB", (after-before)>>20)
	}
}

// memory is the most memory that the hub had resident since it was last asked.
func (h *hub) memory(t *testing.T) int64 {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/", h.cmd.Process.Pid)
	status, err := os.ReadFile(dir + "status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"clear_refs", []byte("5"), 0o600); err != nil {
		t.Fatal(err)
	}
	return kib << 10
}
