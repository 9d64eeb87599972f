package testenv

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// S3Server is an S3-compatible server of one test.
type S3Server struct {
	// URL is the server, without a bucket.
	URL string
	// AccessKeyID and SecretAccessKey are those of its administrator.
	AccessKeyID, SecretAccessKey string
	// Bucket exists and is empty.
	Bucket string
	// Dir holds its buckets as folders and its objects as files.
	Dir string
}

// S3 starts an S3-compatible server for this test: Versity's gateway over a
// folder. It takes a moment.
func S3(t *testing.T) S3Server {
	t.Helper()
	root, err := repository()
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	program := filepath.Join(root, ".cache", "versitygw", "versitygw")
	if _, err := os.Stat(program); err != nil {
		t.Fatal("testenv: the S3 server is not installed: run `make deps-test`")
	}
	addrs, err := freeAddrs(1)
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	addr := addrs[0]
	s := S3Server{URL: "http://" + addr, AccessKeyID: "AKIATRUNKLINETEST", SecretAccessKey: "secret-access-key-of-the-test", Bucket: "recordings", Dir: t.TempDir()}
	if err := os.Mkdir(filepath.Join(s.Dir, s.Bucket), 0o755); err != nil {
		t.Fatalf("testenv: %v", err)
	}
	cmd := exec.Command(program, "--access", s.AccessKeyID, "--secret", s.SecretAccessKey, "--port", addr, "--quiet", "posix", "--sidecar", t.TempDir(), s.Dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatalf("testenv: starting the S3 server: %v", err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	Eventually(t, func() error {
		req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, s.URL, nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			_ = resp.Body.Close()
		}
		return err
	})
	return s
}
