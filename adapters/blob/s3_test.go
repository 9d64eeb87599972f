package blob_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"trunkline.dev/trunkline/commands/recordings"
	"trunkline.dev/trunkline/commands/recordings/blobtest"
)

// TestS3 runs the suite by way of the driver and Amazon's client against a
// server that speaks S3. The client reads its keys from the environment, so these
// tests cannot run beside others that set it.
func TestS3(t *testing.T) {
	s := newS3(t, nil)
	t.Run("suite", func(t *testing.T) { // ends before the server does
		blobtest.Run(t, func(t *testing.T) recordings.Blobs { return open(t, s.bucket(t)) })
	})
}

// s3Server speaks S3.
type s3Server struct {
	*httptest.Server
	backend *s3mem.Backend
	buckets atomic.Int64
}

// newS3 starts a server that refuses what refuse writes an answer to.
func newS3(t *testing.T, refuse func(http.ResponseWriter, *http.Request) bool) *s3Server {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
	s := &s3Server{backend: s3mem.New()}
	serve := gofakes3.New(s.backend).Server()
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if refuse == nil || !refuse(w, r) {
			serve.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// bucket makes a bucket and returns its URL.
func (s *s3Server) bucket(t *testing.T) string {
	t.Helper()
	name := fmt.Sprint("bucket-", s.buckets.Add(1))
	if err := s.backend.CreateBucket(name); err != nil {
		t.Fatal(err)
	}
	// This server sends the checksum of the whole with a part of it.
	return "s3://" + name + "?region=us-east-1&use_path_style=true&response_checksum_validation=when_required&endpoint=" + s.URL
}

// client is Amazon's, for what a killed hub did.
func (s *s3Server) client() *s3.Client {
	return s3.New(s3.Options{
		Region: "us-east-1", BaseEndpoint: &s.URL, UsePathStyle: true, Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	})
}

// begin leaves a part of an object, as a hub does that is killed.
func (s *s3Server) begin(t *testing.T, key string) {
	t.Helper()
	bucket := aws.String("bucket-1")
	up, err := s.client().CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{Bucket: bucket, Key: &key})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.client().UploadPart(t.Context(), &s3.UploadPartInput{
		Bucket: bucket, Key: &key, UploadId: up.UploadId, PartNumber: aws.Int32(1), Body: strings.NewReader("half of a call"),
	})
	if err != nil {
		t.Fatal(err)
	}
}

// begun are the keys of which parts are kept.
func (s *s3Server) begun(t *testing.T) []string {
	t.Helper()
	all, err := s.client().ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: aws.String("bucket-1")})
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, u := range all.Uploads {
		keys = append(keys, *u.Key)
	}
	return keys
}

// S3 keeps the parts of an object that was never completed until somebody says that
// they are not needed.
func TestDeletingRemovesThePartsThatAKillLeftInS3(t *testing.T) {
	s := newS3(t, nil)
	store := open(t, s.bucket(t)+"&prefix=calls/")
	for _, key := range []string{"calls/org/rec/1", "calls/org/rec/1", "calls/org/rec/12", "org/rec/1"} {
		s.begin(t, key)
	}
	if err := store.Delete(t.Context(), "org/rec/1"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"calls/org/rec/12", "org/rec/1"}, s.begun(t)); diff != "" {
		t.Errorf("parts are kept of (-want +got):\n%s", diff)
	}
}

// A key of the hub's that may not list uploads, or a server that cannot, deletes all the
// same.
func TestWhoMayNotListUploadsDeletesAllTheSame(t *testing.T) {
	for code, status := range map[string]int{"AccessDenied": http.StatusForbidden, "NotImplemented": http.StatusNotImplemented} {
		t.Run(code, func(t *testing.T) {
			s := newS3(t, func(w http.ResponseWriter, r *http.Request) bool {
				if !r.URL.Query().Has("uploads") {
					return false
				}
				w.WriteHeader(status)
				_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code></Error>", code)
				return true
			})
			store := open(t, s.bucket(t))
			w, err := store.Create(t.Context(), "k", "audio/mpeg")
			if err != nil {
				t.Fatal(err)
			}
			if err := w.Commit(); err != nil {
				t.Fatal(err)
			}
			if err := store.Delete(t.Context(), "k"); err != nil {
				t.Fatal(err)
			}
			if _, err := store.Open(t.Context(), "k"); !errors.Is(err, recordings.ErrNoBlob) {
				t.Errorf("it is opened: %v", err)
			}
		})
	}
}

// An S3 that takes a request and never answers it is left as soon as its caller gives up.
func TestWritingToAnS3ThatHangsEndsWithItsCaller(t *testing.T) {
	hangs := make(chan struct{}, 16)
	s := newS3(t, func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodGet {
			return false
		}
		_, _ = io.Copy(io.Discard, r.Body)
		hangs <- struct{}{}
		<-r.Context().Done()
		return true
	})
	store := open(t, s.bucket(t))
	for name, size := range map[string]int{"at the end": 100, "in the middle": 32 << 20} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			w, err := store.Create(ctx, "k", "audio/mpeg")
			if err != nil {
				t.Fatal(err)
			}
			go func() { <-hangs; cancel() }()
			_, err = w.Write(make([]byte, size))
			if err == nil {
				err = w.Commit()
			}
			w.Abort()
			if !errors.Is(err, context.Canceled) {
				t.Errorf("writing ended with %v", err)
			}
		})
	}
}
