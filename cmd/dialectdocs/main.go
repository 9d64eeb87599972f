// Command dialectdocs writes adapters/dialects/docs/<system>.md: how to connect
// each system, what its bodies look like, how to verify them. All of it comes
// from the dialects themselves; docs/notes/<system>.md adds what only words can
// say. A new dialect gets its page by its line in dialects.All.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"trunkline.dev/trunkline/adapters/dialects"
)

func main() {
	root := flag.String("root", ".", "the module's folder")
	flag.Parse()
	if err := write(filepath.Join(*root, "adapters", "dialects", "docs")); err != nil {
		fmt.Fprintln(os.Stderr, "dialectdocs:", err)
		os.Exit(1)
	}
}

func write(docs string) error {
	for _, d := range dialects.All() {
		text, err := page(docs, d)
		if err != nil {
			return fmt.Errorf("writing the page of %s: %w", d.Name(), err)
		}
		if err := os.WriteFile(filepath.Join(docs, file(d)), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// file is the name of a dialect's page, and of its notes.
func file(d dialects.Dialect) string { return strings.ReplaceAll(d.Name(), "/", "-") + ".md" }
