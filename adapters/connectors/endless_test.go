package connectors_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/delivery"
)

// An org chooses whom its connectors ask, and what that one answers would be held in
// memory by the clients of Slack, Google and Amazon, whatever its length.
func TestAnAnswerWithoutEndIsCut(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		// begin is what the answer begins with; it goes on without end.
		begin   string
		status  int
		connect func(r *rig, url string) delivery.Endpoint
	}{
		"Slack": {`{"ok": true, "ts": "`, http.StatusOK, func(r *rig, url string) delivery.Endpoint {
			return r.connector("slack", map[string]any{"channel": "C1", "api_url": url}, map[string]any{"bot_token": "xoxb-token"})
		}},
		"Google": {`{"access_token": "t", "expires_in": 3600, "id": "`, http.StatusOK, func(r *rig, url string) delivery.Endpoint {
			return r.connector("google_drive", map[string]any{"base_url": url, "folder_id": "folder-0123456789"}, map[string]any{"client_id": "client", "client_secret": "secret-secret", "refresh_token": "refresh-token"})
		}},
		"S3": {`<Error><Code>`, http.StatusBadRequest, func(r *rig, url string) delivery.Endpoint {
			return r.connector("s3", map[string]any{"bucket": "recordings", "endpoint": url}, map[string]any{"access_key_id": "access-key", "secret_access_key": "secret-key"})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var whole atomic.Int64
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				if strings.HasSuffix(r.URL.Path, "/token") {
					w.Header().Set("Content-Type", "application/json")
					_, _ = io.WriteString(w, `{"access_token": "access-token", "token_type": "Bearer", "expires_in": 3600}`)
					return
				}
				if r.Method == http.MethodHead {
					w.WriteHeader(http.StatusNotFound)
					return
				}
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.begin)
				some := bytes.Repeat([]byte("a"), 1<<20)
				for range 64 { // more than sockets hold
					if _, err := w.Write(some); err != nil {
						return
					}
				}
				whole.Add(1)
			}))
			t.Cleanup(server.Close)
			r := newRig(t)
			s := r.newStory()
			s.ends()
			e := c.connect(r, server.URL)
			d := r.owed(e, s.records("a", 1000)) // what a store of files is told
			if len(d) == 0 {
				d = r.owed(e, s.happens(call.Dispositioned{Disposition: "Sale"})) // what a chat is
			}
			o := r.deliver(e, d[0])
			if whole.Load() > 0 || !strings.Contains(o.Error, "longer than 4 MiB") {
				t.Errorf("%d answers were read to their end; %q", whole.Load(), o.Error)
			}
		})
	}
}
