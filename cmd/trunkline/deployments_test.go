package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestTheImageCanKeepItsData reads the Dockerfile: a volume takes its owner from the
// directory in the image, and one that is not there is root's, in which the image's
// user can make no secrets.key.
func TestTheImageCanKeepItsData(t *testing.T) {
	t.Parallel()
	lines := linesOf(t, "../../deployments/Dockerfile")
	made := slices.IndexFunc(lines, func(l string) bool {
		return strings.HasPrefix(l, "COPY ") && strings.Contains(l, "--chown=nonroot:nonroot") && strings.HasSuffix(l, " /data")
	})
	volume := slices.Index(lines, "VOLUME /data")
	if made < 0 || made > volume {
		t.Errorf("/data is given to its user in line %d, and is a volume from line %d on", made+1, volume+1)
	}
}

// TestTheImageIsBuiltOfTheSources leaves out of the build what a run leaves here: the
// secrets of a hub, and files of Postgres that the builder may not read.
func TestTheImageIsBuiltOfTheSources(t *testing.T) {
	t.Parallel()
	ignored := linesOf(t, "../../deployments/Dockerfile.dockerignore")
	for _, l := range linesOf(t, "../../.gitignore") {
		if l == "" || strings.HasPrefix(l, "#") {
			continue
		}
		name, atTheTop := strings.CutPrefix(strings.TrimSuffix(l, "/"), "/")
		if !atTheTop {
			name = "**/" + name
		}
		if !slices.Contains(ignored, name) {
			t.Errorf("git ignores %s, the image's build does not", name)
		}
	}
}

// TestComposeLetsTheHubDrain reads compose.yaml: without a word of it a container is killed
// after ten seconds, in the middle of what it drains.
func TestComposeLetsTheHubDrain(t *testing.T) {
	t.Parallel()
	lines := linesOf(t, "../../deployments/compose.yaml")
	hub := lines[slices.Index(lines, "  trunkline:"):]
	for _, l := range hub {
		if period, ok := strings.CutPrefix(l, "    stop_grace_period: "); ok {
			if grace, err := time.ParseDuration(period); err != nil || grace <= drain {
				t.Errorf("it has %s (%v) and may take %s", period, err, drain)
			}
			return
		}
	}
	t.Errorf("it has compose's 10s and may take %s", drain)
}

// TestTheImageSaysItsVersion runs the Dockerfile's build with a go that only repeats
// what it is told.
func TestTheImageSaysItsVersion(t *testing.T) {
	t.Parallel()
	lines := linesOf(t, "../../deployments/Dockerfile")
	declared := slices.Index(lines, "ARG VERSION")
	build := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "RUN ") && strings.Contains(l, "go build ") })
	if declared < 0 || declared > build {
		t.Fatalf("VERSION is declared in line %d, the build is line %d", declared+1, build+1)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "go"), []byte("#!/bin/sh\nfor a; do echo \"[$a]\"; done\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for version, want := range map[string]string{
		"":      "[build]\n[-trimpath]\n[-o]\n[/trunkline]\n[./cmd/trunkline]\n",
		"1.2.3": "[build]\n[-trimpath]\n[-ldflags=-X main.version=1.2.3]\n[-o]\n[/trunkline]\n[./cmd/trunkline]\n",
	} {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", strings.TrimPrefix(lines[build], "RUN "))
		cmd.Env = []string{"PATH=" + dir, "VERSION=" + version}
		if out, err := cmd.CombinedOutput(); err != nil || string(out) != want {
			t.Errorf("VERSION=%s builds by %s, %v; want %s", version, out, err, want)
		}
	}
}

func linesOf(t *testing.T, path string) []string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(b)), "\n")
}

// A shell would end the address of a bucket at its &, and a password at its $.
func TestMakeRunTakesSettingsAsTheyStandInDotEnv(t *testing.T) {
	t.Parallel()
	root, dir := filepath.Join("..", ".."), t.TempDir()
	for _, name := range []string{"Makefile", "deployments"} {
		from, err := filepath.Abs(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(from, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	run := func() (string, error) {
		hub := exec.CommandContext(t.Context(), "make", "-s", "-o", "deps", "-o", "build", "run")
		hub.Dir, hub.Env = dir, []string{"PATH=" + os.Getenv("PATH")}
		out, err := hub.CombinedOutput()
		return string(out), err
	}
	write("bin/trunkline", "#!/bin/sh\necho \"$1\"\nenv | grep ^TRUNKLINE_ | sort\n")
	write(".env", `# what this one changes
TRUNKLINE_BLOB_URL=s3://calls?region=eu-1&endpoint=http://minio:9000

TRUNKLINE_POSTGRES_URL=postgres://hub:pa$word;#1@db/trunkline # the managed one
TRUNKLINE_DATA_DIR="/srv/call data" # a disk of its own
export TRUNKLINE_LOG_LEVEL='debug'`+"\r\n")
	want := `serve
TRUNKLINE_BLOB_URL=s3://calls?region=eu-1&endpoint=http://minio:9000
TRUNKLINE_DATA_DIR=/srv/call data
TRUNKLINE_LOG_LEVEL=debug
TRUNKLINE_POSTGRES_URL=postgres://hub:pa$word;#1@db/trunkline
`
	if got, err := run(); err != nil || got != want {
		t.Errorf("%v, the hub has\n%swant\n%s", err, got, want)
	}
	write(".env", "\nTRUNKLINE_LOG_LEVEL debug\n")
	if got, err := run(); err == nil || !strings.Contains(got, ".env: line 2 is not NAME=value") {
		t.Errorf("a line that is no setting: %v, %s", err, got)
	}
}
