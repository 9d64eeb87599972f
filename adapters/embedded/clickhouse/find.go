package clickhouse

import (
	"fmt"
	"os"
	"path/filepath"
)

// libInCache is where deployments/embedded/fetch.sh puts the engine, below the
// repository's root.
const libInCache = ".cache/engine/node_modules/@chdb/lib-linux-x64-gnu/libchdb.so"

// FindEngine returns the absolute path of the engine's library: explicit (the
// setting TRUNKLINE_CLICKHOUSE_ENGINE) and nothing else if that is set, else in
// .cache/engine of the working directory or one above it, else beside the
// executable, or in .cache/engine of its directory or one above it.
func FindEngine(explicit string) (path string, err error) {
	if explicit != "" {
		if !isFile(explicit) {
			return "", fmt.Errorf("TRUNKLINE_CLICKHOUSE_ENGINE: there is no file %s; `make deps` fetches the engine", explicit)
		}
		return filepath.Abs(explicit)
	}
	if wd, err := os.Getwd(); err == nil {
		if lib, ok := findAbove(wd); ok {
			return lib, nil
		}
	}
	if exe, err := os.Executable(); err == nil {
		dir := filepath.Dir(exe)
		if lib := filepath.Join(dir, "libchdb.so"); isFile(lib) {
			return lib, nil
		}
		if lib, ok := findAbove(dir); ok {
			return lib, nil
		}
	}
	return "", fmt.Errorf("the ClickHouse engine is not installed: run `make deps`, or set TRUNKLINE_CLICKHOUSE_URL to a ClickHouse of yours")
}

func findAbove(dir string) (lib string, ok bool) {
	for {
		lib = filepath.Join(dir, libInCache)
		if isFile(lib) {
			return lib, true
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", false
		}
		dir = parent
	}
}

func isFile(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.Mode().IsRegular()
}
