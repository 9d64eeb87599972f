package connectors

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

// TestTheREADMENamesEverySetting of every kind, in its own section.
func TestTheREADMENamesEverySetting(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for kind, config := range map[string]any{
		"salesforce": salesforceConfig{}, "hubspot": hubspotConfig{}, "slack": slackConfig{}, "google_drive": driveConfig{}, "s3": s3Config{}, "zapier": zapierConfig{}, "https": httpsConfig{},
	} {
		_, section, found := strings.Cut(string(text), "(`"+kind+"`)\n")
		if !found {
			t.Errorf("there is no section for %s", kind)
			continue
		}
		section, _, _ = strings.Cut(section, "\n### ")
		section, _, _ = strings.Cut(section, "\n## ")
		for f := range reflect.TypeOf(config).Fields() {
			if name := f.Tag.Get("json"); !strings.Contains(section, "`"+name+"`") && !strings.Contains(section, `"`+name+`"`) {
				t.Errorf("the section of %s does not name %s", kind, name)
			}
		}
	}
}

// TestTemplatesKnowEveryField of the document, and the README names them.
func TestTemplatesKnowEveryField(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	flat := strings.Join(strings.Fields(string(text)), " ")
	for root, fields := range map[string]any{"call": docCall{}, "lead": docLead{}, "agent": docAgent{}, "list": docList{}, "recording": docAudio{}} {
		for f := range reflect.TypeOf(fields).Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if err := checkTemplate("{" + root + "." + name + "}"); err != nil {
				t.Error(err)
			}
			if _, list, _ := strings.Cut(flat, "`"+root+".` ("); name != "source_url" && !strings.Contains(list[:min(len(list), 400)], name) {
				t.Errorf("the README does not name %s.%s", root, name)
			}
		}
	}
}
