package connectors_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/adapters/connectors/internal/fake"
	"trunkline.dev/trunkline/adapters/internal/testenv"
	"trunkline.dev/trunkline/domain/delivery"
)

// bucket is a real S3-compatible server behind a proxy that can break requests.
type bucket struct {
	*fake.Server
	testenv.S3Server
	// Unconditional is what a server answers that knows no conditions of a write, Code its
	// word for it.
	Unconditional int
	Code          string
}

func newBucket(t *testing.T) *bucket {
	t.Helper()
	b := &bucket{S3Server: testenv.S3(t), Code: "NotImplemented"}
	to, err := url.Parse(b.S3Server.URL)
	if err != nil {
		t.Fatal(err)
	}
	// The host is signed, so it is passed on.
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.Out.Host = r.In.Host
	}}
	b.Server = fake.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if b.Unconditional != 0 && r.Header.Get("If-None-Match") != "" {
			_, _ = io.Copy(io.Discard, r.Body)
			http.Error(w, "<Error><Code>"+b.Code+"</Code><Message>It cannot be done.</Message></Error>", b.Unconditional)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(b.Server.Close)
	return b
}

// objects are the keys in the bucket.
func (b *bucket) objects(t *testing.T) []string {
	t.Helper()
	var keys []string
	root := filepath.Join(b.Dir, b.Bucket)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if strings.HasPrefix(d.Name(), ".sgwtmp") {
				return filepath.SkipDir
			}
			return nil
		}
		key, err := filepath.Rel(root, path)
		keys = append(keys, key)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(keys)
	return keys
}

func (b *bucket) sum(t *testing.T, key string) (int64, string) {
	t.Helper()
	f, err := os.Open(filepath.Join(b.Dir, b.Bucket, key))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err != nil {
		t.Fatal(err)
	}
	return n, hex.EncodeToString(h.Sum(nil))
}

func (r *rig) s3(b *bucket, config map[string]any, change ...func(*delivery.Endpoint)) delivery.Endpoint {
	r.t.Helper()
	all := map[string]any{"endpoint": b.Server.URL, "bucket": b.Bucket}
	for k, v := range config {
		all[k] = v
	}
	return r.connector("s3", all, map[string]any{"access_key_id": b.AccessKeyID, "secret_access_key": b.SecretAccessKey}, change...)
}

func TestS3(t *testing.T) {
	t.Parallel()
	r, b := newRig(t), newBucket(t)
	e := r.s3(b, nil)
	story := r.newStory()
	v := story.records("rec-1", 5000)
	r.succeeds(e, v)
	want := []string{"Q2 Florida Realtors/John Smith - 2026-11-28T12:01:00Z.mp3"}
	if diff := cmp.Diff(want, b.objects(t)); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
	if n, sum := b.sum(t, want[0]); n != 5000 || sum != sumOf(5000) {
		t.Errorf("%d bytes, %s", n, sum)
	}
	t.Run("again changes nothing", func(t *testing.T) {
		b.Lines()
		r.steps.forget()
		r.succeeds(e, v)
		if lines := b.Lines(); len(lines) != 1 || !strings.HasPrefix(lines[0], "HEAD") {
			t.Errorf("it asked %v", lines)
		}
	})
	t.Run("a namesake in the same second has its own", func(t *testing.T) {
		r.succeeds(e, story.records("rec-2", 10))
		if diff := cmp.Diff([]string{"Q2 Florida Realtors/John Smith - 2026-11-28T12:01:00Z (" + story.recording("rec-2") + ").mp3", want[0]}, b.objects(t)); diff != "" {
			t.Errorf("objects (-want +got):\n%s", diff)
		}
	})
	t.Run("in parts", func(t *testing.T) {
		const size = 19<<20 + 3
		r.succeeds(r.s3(b, map[string]any{"key": "{timestamp}/{agent.name}/{call.id}"}), story.records("rec-3", size))
		if n, sum := b.sum(t, "2026-11-28T12:01:00Z/Jane Agent/call-1.mp3"); n != size || sum != sumOf(size) {
			t.Errorf("%d bytes, %s", n, sum)
		}
	})
	t.Run("of unknown length", func(t *testing.T) {
		chunked := story.stores("rec-4", r.recordings.URL+"/chunked/70000.mp3")
		r.succeeds(r.s3(b, map[string]any{"key": "chunked"}), chunked)
		if n, sum := b.sum(t, "chunked.mp3"); n != 70000 || sum != sumOf(70000) {
			t.Errorf("%d bytes, %s", n, sum)
		}
	})
}

func TestS3Survives(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fake.Fault{
		"a lost answer to a part":  {At: "PUT /recordings/", Lost: true, Times: 3},
		"a server that is slow":    {At: "PUT /recordings/", Status: 503, Times: 3, Body: `<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>`},
		"an error":                 {At: "POST /recordings/", Status: 500, Times: 3},
		"a lost answer at the end": {At: "POST /recordings/", Lost: true, Times: 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, b := newRig(t), newBucket(t)
			b.Break(f)
			e := r.s3(b, map[string]any{"key": "x"})
			v := r.newStory().records("rec-1", 17<<20)
			first := r.deliver(e, r.one(e, v))
			if f.Status == 503 && first.StatusCode != 503 {
				t.Errorf("it ended with %d %s", first.StatusCode, first.Error)
			}
			r.succeeds(e, v)
			if n, sum := b.sum(t, "x.mp3"); n != 17<<20 || sum != sumOf(17<<20) || len(b.objects(t)) != 1 {
				t.Errorf("%d bytes, %s, of %v", n, sum, b.objects(t))
			}
		})
	}
}

func TestS3Check(t *testing.T) {
	t.Parallel()
	r, b := newRig(t), newBucket(t)
	for name, c := range map[string]struct {
		config, credentials map[string]any
		wrong               string
	}{
		"all is well":        {nil, nil, ""},
		"no such bucket":     {map[string]any{"bucket": "nowhere"}, nil, "upload a test file: the server answered 404 NoSuchBucket"},
		"a wrong key":        {nil, map[string]any{"access_key_id": "AKIANOBODY"}, "No user exists with the provided access key ID"},
		"a wrong secret key": {nil, map[string]any{"secret_access_key": "wrong-secret"}, "The secret_access_key does not belong"},
		"nobody there":       {map[string]any{"endpoint": "http://127.0.0.1:1"}, nil, "connection refused"},
	} {
		config := map[string]any{"endpoint": b.Server.URL, "bucket": b.Bucket}
		for k, v := range c.config {
			config[k] = v
		}
		credentials := map[string]any{"access_key_id": b.AccessKeyID, "secret_access_key": b.SecretAccessKey}
		for k, v := range c.credentials {
			credentials[k] = v
		}
		if ok, wrong := r.check(r.connector("s3", config, credentials)); ok != (c.wrong == "") || !strings.Contains(wrong, c.wrong) {
			t.Errorf("%s: %v, %q; want %q", name, ok, wrong, c.wrong)
		}
	}
	if got := b.objects(t); len(got) != 0 {
		t.Errorf("checks left %v", got)
	}
}

func TestS3Settings(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := func(config string) delivery.Endpoint {
		return delivery.Endpoint{Connector: "s3", Config: json.RawMessage(config), Credentials: map[string]string{"access_key_id": "a", "secret_access_key": "b"}}
	}
	r.refuses("no bucket", e(`{}`), "/config/bucket", "name of a bucket")
	r.refuses("a bucket in capitals", e(`{"bucket":"Recordings"}`), "/config/bucket", "lower-case")
	r.refuses("a region that would be a host", e(`{"bucket":"abc","region":"evil.example/x"}`), "/config/region", "us-east-1")
	r.refuses("a private endpoint", e(`{"bucket":"abc","endpoint":"https://10.0.0.1"}`), "/config/endpoint", "https")
	r.refuses("a key", e(`{"bucket":"abc","key":"/a"}`), "/config/key", "begins")
	bare := e(`{"bucket":"abc"}`)
	bare.Credentials = nil
	r.refuses("no credentials", bare, "/credentials/access_key_id", "required")
}
