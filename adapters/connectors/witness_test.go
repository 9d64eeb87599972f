package connectors_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/adapters/connectors/hubspotfake"
	"trunkline.dev/trunkline/adapters/connectors/salesforcefake"
)

// witness runs a script of testdata/witness in Node: a client of the vendor's, or
// one that is used against the real system, asks our fake. A fake that only our
// own connector understands would prove nothing. The others need none: slack-go,
// Google's and Amazon's clients are what the connectors themselves use.
func witness(t *testing.T, script string, input any) (said map[string]any) {
	t.Helper()
	modules, err := filepath.Abs(filepath.Join("..", "..", ".cache", "witness"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(modules, "installed-lock.json")); err != nil {
		t.Fatal("the clients are not installed: run `make deps-test`")
	}
	in, err := json.Marshal(input)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", filepath.Join("testdata", "witness", script))
	cmd.Env = append(os.Environ(), "NODE_PATH="+filepath.Join(modules, "node_modules"))
	cmd.Stdin = bytes.NewReader(in)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("running %s: %v\n%s", script, err, stderr.String())
	}
	if err := json.Unmarshal(out, &said); err != nil {
		t.Fatalf("reading what %s said: %v: %s", script, err, out)
	}
	return said
}

func TestJsforceUnderstandsTheFake(t *testing.T) {
	t.Parallel()
	o := newSalesforce(t)
	o.Add("Lead", salesforcefake.Record{"Name": "John Smith", "Phone": "(555) 123-4567"})
	said := witness(t, "salesforce.js", map[string]string{
		"url": o.URL, "clientId": salesforcefake.ClientID, "clientSecret": salesforcefake.ClientSecret, "refreshToken": salesforcefake.RefreshToken, "externalId": salesforcefake.ExternalID,
	})
	if diff := cmp.Diff(map[string]any{
		"found": []any{"Lead John Smith"}, "made": true, "queried": true, "updated": true, "upserted": true, "linked": true, "duplicate": "DUPLICATE_VALUE",
		"unknownField": "INVALID_FIELD", "externalField": []any{salesforcefake.ExternalID}, "limits": 15000.0, "renewed": 1.0,
	}, said); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestHubSpotsClientUnderstandsTheFake(t *testing.T) {
	t.Parallel()
	a := newHubSpot(t)
	said := witness(t, "hubspot.js", map[string]string{"url": a.URL, "token": hubspotfake.Token, "unique": hubspotfake.Unique})
	if diff := cmp.Diff(map[string]any{
		"found": []any{"Smith"}, "notFound": 0.0, "call": "Call", "updated": "Call again", "upserted": 1.0, "file": "string", "owner": []any{"jane@company.com"},
		"unique": []any{hubspotfake.Unique}, "unknownProperty": 400.0,
	}, said); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
