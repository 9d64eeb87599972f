package blob_test

import (
	"fmt"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"trunkline.dev/trunkline/commands/recordings"
	"trunkline.dev/trunkline/commands/recordings/blobtest"
)

// TestS3 runs the suite by way of the driver and Amazon's client against a
// server that speaks S3. The client reads its keys from the environment, so this
// test cannot run beside others that set it.
func TestS3(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
	backend := s3mem.New()
	server := httptest.NewServer(gofakes3.New(backend).Server())
	defer server.Close()
	var buckets atomic.Int64
	t.Run("suite", func(t *testing.T) { // ends before the server does
		blobtest.Run(t, func(t *testing.T) recordings.Blobs {
			name := fmt.Sprint("bucket-", buckets.Add(1))
			if err := backend.CreateBucket(name); err != nil {
				t.Fatal(err)
			}
			// This server sends the checksum of the whole with a part of it.
			return open(t, "s3://"+name+"?region=us-east-1&use_path_style=true&response_checksum_validation=when_required&endpoint="+server.URL)
		})
	})
}
