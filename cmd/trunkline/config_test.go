package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caarlos0/env/v11"
)

// configOf is what a hub reads from settings.
func configOf(settings map[string]string) (Config, error) {
	var c Config
	if err := env.ParseWithOptions(&c, env.Options{Environment: settings}); err != nil {
		return c, unparsed(err)
	}
	if err := c.complete(); err != nil {
		return c, err
	}
	return c, c.validate()
}

// TestSettingsThatCannotWorkAreRefused has those that only showed later that they
// are wrong, or never.
func TestSettingsThatCannotWorkAreRefused(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, value string }{
		{"TRUNKLINE_ADMIN_KEY", " "},
		{"TRUNKLINE_ADMIN_KEY", "a-key-out-of-a-file\n"}, // as a Kubernetes secret has it
		{"TRUNKLINE_ADMIN_KEY", "a key of two\nlines"},
		{"TRUNKLINE_ADMIN_KEY", "kéy-out-of-a-text-editor"}, // clients differ in how they send it
		{"TRUNKLINE_ADMIN_KEY", "\xff\xfekey"},
		{"TRUNKLINE_PUBLIC_URL", "http://:8080"},
		{"TRUNKLINE_KAFKA_BROKERS", "a:9092, b:9092"},
		{"TRUNKLINE_KAFKA_BROKERS", "a:kafka"},
		{"TRUNKLINE_KAFKA_REPLICATION", "3"},        // embedded, where one broker is
		{"TRUNKLINE_BLOB_URL", "file://data/blobs"}, // gocloud would take /blobs
	} {
		t.Run(test.name+"="+test.value, func(t *testing.T) {
			t.Parallel()
			_, err := configOf(map[string]string{test.name: test.value})
			if err == nil || !strings.HasPrefix(err.Error(), test.name+": ") || strings.Contains(err.Error(), "\n") {
				t.Errorf("want one line that names it: %v", err)
			}
		})
	}
}

// TestURLsThatCannotBeOpenedAreNamed has those that only their drivers can judge.
func TestURLsThatCannotBeOpenedAreNamed(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, value string
		open        func(*app, context.Context) error
	}{
		{"TRUNKLINE_POSTGRES_URL", "postgres://hub:sesame@db.example.com/hub?sslmode=perhaps", (*app).startPostgres},
		{"TRUNKLINE_CLICKHOUSE_URL", "clickhouse://hub:sesame@db.example.com/hub?dial_timeout=soon", (*app).startClickHouse},
		{"TRUNKLINE_BLOB_URL", "s3://recordings?colour=blue", (*app).startRecordings},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			cfg, err := configOf(map[string]string{test.name: test.value})
			if err != nil {
				t.Fatal(err)
			}
			a := &app{cfg: cfg, stack: &stack{cfg: cfg}}
			err = test.open(a, t.Context())
			if !errors.Is(err, errUsage) || !strings.Contains(err.Error(), test.name+": ") || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "sesame") {
				t.Errorf("want one line that names it, and the exit code of a wrong setting: %v", err)
			}
		})
	}
}

// TestReplicasAreLeftToTheCluster lists one address of a cluster: how many brokers
// stand behind it is the cluster's to say.
func TestReplicasAreLeftToTheCluster(t *testing.T) {
	t.Parallel()
	c, err := configOf(map[string]string{"TRUNKLINE_KAFKA_BROKERS": "kafka.example.com:9092"})
	if err != nil {
		t.Fatal(err)
	}
	if c.KafkaReplication != 0 {
		t.Errorf("%d replicas", c.KafkaReplication)
	}
}

// TestAnAddressWithoutAHostListensEverywhere has links and commands go to this
// machine then: http://:8080 is no URL.
func TestAnAddressWithoutAHostListensEverywhere(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{":8080": "http://localhost:8080", "127.0.0.1:8080": "http://127.0.0.1:8080", "0.0.0.0:8080": "http://0.0.0.0:8080"} {
		c, err := configOf(map[string]string{"TRUNKLINE_HTTP_ADDR": addr})
		if err != nil {
			t.Fatal(err)
		}
		if c.PublicURL != want || c.baseURL() != want {
			t.Errorf("%s: our links begin with %s, we are at %s; want %s", addr, c.PublicURL, c.baseURL(), want)
		}
	}
}

// TestAnEmptyKeyFileIsNamed has a file that lost its text with the machine's power.
func TestAnEmptyKeyFileIsNamed(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), adminKeyFile)
	if err := os.WriteFile(file, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	value, _, err := readOrCreate(file, func() (string, error) { return "another", nil })
	if err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("%q, %v", value, err)
	}
}

// TestAKeyIsOnTheDiskBeforeItIsUsed has no power cut: it looks at what is flushed when.
func TestAKeyIsOnTheDiskBeforeItIsUsed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, adminKeyFile)
	var flushed []string
	err := keep(file, "key", func(f *os.File) error {
		what := filepath.Base(f.Name())
		if f.Name() == dir {
			what = "the directory"
		}
		if _, err := os.Stat(file); err == nil {
			what += " with " + adminKeyFile
		}
		flushed = append(flushed, what)
		return f.Sync()
	})
	want := []string{adminKeyFile + ".new", "the directory with " + adminKeyFile}
	if err != nil || !slices.Equal(flushed, want) {
		t.Errorf("it flushes %q, want %q: %v", flushed, want, err)
	}

	broken := errors.New("input/output error")
	other := filepath.Join(dir, "other.key")
	if err := keep(other, "key", func(*os.File) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("a disk that takes nothing: %v", err)
	}
	if _, err := os.Stat(other); err == nil {
		t.Error("a key that is not on the disk has its name")
	}
}
