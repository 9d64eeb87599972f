package main

import (
	"fmt"
	"io"
	"reflect"
	"strings"
)

// setting is one row of the table of settings.
type setting struct {
	Name, Default, Description string
	Secret                     bool
}

// settings lists the fields of Config in their order.
func settings() []setting {
	t := reflect.TypeFor[Config]()
	out := make([]setting, 0, t.NumField())
	for i := range t.NumField() {
		f := t.Field(i)
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
	for _, s := range settings() {
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
	b.WriteString("# Every setting of Trunkline with its default. Copy to .env, uncomment what you\n# change; `make run` reads it. Generated: make gen.\n")
	for _, s := range settings() {
		fmt.Fprintf(&b, "\n# %s\n#%s=%s\n", s.Description, s.Name, s.Default)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
