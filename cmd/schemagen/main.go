// Command schemagen writes what is derived from the catalogue of event types:
// schemas/events/<type>.json and schemas/asyncapi.yaml. The Go structs are the
// source; their doc comments become descriptions. With -release it also notes
// what the schemas promise from then on, in schemas/events/released.sum.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	root := flag.String("root", ".", "folder of go.mod")
	release := flag.Bool("release", false, "note the present schemas as released")
	flag.Parse()
	if err := run(*root, *release); err != nil {
		fmt.Fprintln(os.Stderr, "schemagen:", err)
		os.Exit(1)
	}
}

func run(root string, release bool) error {
	files, err := generate(root)
	if err != nil {
		return err
	}
	if release {
		sums, err := promises(files)
		if err != nil {
			return err
		}
		files[releasedFile] = sums
	}
	for name, content := range files {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}
