package main

import (
	"os"
	"slices"
	"strings"
	"testing"
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

func linesOf(t *testing.T, path string) []string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(b)), "\n")
}
