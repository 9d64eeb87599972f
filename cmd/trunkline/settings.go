package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
)

// setting is one row of the table of settings.
type setting struct {
	Name, Default, Description string
	Secret                     bool
}

// allSettings lists the fields of Config in their order.
func allSettings() []setting {
	t := reflect.TypeFor[Config]()
	out := make([]setting, 0, t.NumField())
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Tag.Get("env") == "" {
			continue // no setting
		}
		out = append(out, setting{
			Name:        f.Tag.Get("env"),
			Default:     f.Tag.Get("envDefault"),
			Description: f.Tag.Get("desc"),
			Secret:      f.Tag.Get("secret") == "true",
		})
	}
	return out
}

// writeSettingsTable prints the settings as a Markdown table.
func writeSettingsTable(w io.Writer) error {
	var b strings.Builder
	b.WriteString("| setting | default | meaning |\n| --- | --- | --- |\n")
	for _, s := range allSettings() {
		def := "–"
		if s.Default != "" {
			def = "`" + s.Default + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", s.Name, def, strings.NewReplacer("|", "\\|", "<", "&lt;", ">", "&gt;").Replace(s.Description))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeEnvExample prints the settings as a file for a shell to read.
func writeEnvExample(w io.Writer) error {
	var b strings.Builder
	b.WriteString("# Every setting of Trunkline with its default. Copy to .env, uncomment what you\n# change; `make run` reads it, and takes values as they stand. Generated: make gen.\n")
	for _, s := range allSettings() {
		fmt.Fprintf(&b, "\n# %s\n#%s=%s\n", s.Description, s.Name, s.Default)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// The marks between which the table stands in a file that holds more.
const (
	settingsBegin = "<!-- settings -->"
	settingsEnd   = "<!-- /settings -->"
)

// writeBetweenMarks replaces what stands between the marks of a file, or the
// whole file where it has none.
func writeBetweenMarks(path, text string) error {
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	before, rest, begun := strings.Cut(string(b), settingsBegin)
	_, after, ended := strings.Cut(rest, settingsEnd)
	if begun && ended {
		text = before + settingsBegin + "\n" + text + settingsEnd + after
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}
