package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"trunkline.dev/trunkline/adapters/kms/kmstest"
)

// operate runs a command of the program against a hub, as its operator does.
func (h *hub) operate(t *testing.T, args ...string) (code int, out, said string) {
	t.Helper()
	for k, v := range h.env {
		t.Setenv(k, v)
	}
	var stdout, stderr bytes.Buffer
	code = run(context.Background(), args, streams{&stdout, &stderr})
	return code, stdout.String(), stderr.String()
}

// TestSecretsUnderAKMS runs a hub whose keyring Vault holds: sealed at the
// start, rotated, restarted, taken away.
func TestSecretsUnderAKMS(t *testing.T) {
	vault := kmstest.NewVault(t)
	vault.AddKey(t, "trunkline")
	h := newHub(t, map[string]string{
		"TRUNKLINE_SECRETS_KMS": "hcvault:///transit/keys/trunkline", "VAULT_ADDR": vault.URL, "VAULT_TOKEN": vault.Token,
		"TRUNKLINE_LOG_LEVEL": "debug", "TRUNKLINE_LOG_FORMAT": "json",
	})

	vault.Away(http.StatusServiceUnavailable)
	h.launch()
	eventually(t, "a hub that says what it waits for", func(ctx context.Context) error {
		status, body, err := h.get(ctx, "/readyz")
		if err != nil {
			return err
		}
		if status != http.StatusServiceUnavailable || !strings.Contains(string(body), "the key management service") || !strings.Contains(string(body), "Vault is sealed") {
			return fmt.Errorf("readyz: %d %s", status, body)
		}
		return nil
	})
	vault.Away(0)
	eventually(t, "the hub's readiness", func(ctx context.Context) error {
		status, body, err := h.get(ctx, "/readyz")
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("readyz: %d %s", status, body)
		}
		return err
	})

	file := filepath.Join(h.env["TRUNKLINE_DATA_DIR"], "secrets.key")
	sealed := func() string {
		text, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(text), `"sealed_by":"hcvault:///transit/keys/trunkline"`) || strings.Contains(string(text), "primaryKeyId") {
			t.Fatalf("secrets.key is %s, %v", text, err)
		}
		return string(text)
	}
	before := sealed()
	admin, _ := h.org(t)
	customer := newReceiver(t)
	id, secret := endpoint(t, admin, object{
		"dialect": "dialercx", "url": customer.url("/"), "events": list{"call.started"}, "sign_ed25519": true,
		"headers": object{"Authorization": "Bearer a-credential-of-the-customer"},
	})
	startCall(t, admin)
	customer.wait("/", 1)

	replay := admin.post("/v1/replays", object{"from": moment(-time.Hour), "url": customer.url("/replay"), "dialect": "dialercx", "types": list{"call.*"}}).want(http.StatusCreated).text("id")

	state := func(args ...string) (k keyringAnswer) {
		t.Helper()
		code, out, said := h.operate(t, append([]string{"secrets"}, args...)...)
		if code != 0 || json.Unmarshal([]byte(out), &k) != nil {
			t.Fatalf("trunkline secrets %v: %d %s %s", args, code, out, said)
		}
		return k
	}
	first := state("status", "--json")
	if first.SealedBy != "hcvault:///transit/keys/trunkline" || first.PrimaryKey == "" || len(first.FormerKeys) > 0 {
		t.Errorf("the keyring is %+v", first)
	}
	second := state("rotate-key", "--json")
	if second.PrimaryKey == first.PrimaryKey || len(second.FormerKeys) != 1 || second.FormerKeys[0] != first.PrimaryKey || second.RetiresAt == nil {
		t.Errorf("rotated, the keyring is %+v", second)
	}
	if sealed() == before {
		t.Error("secrets.key is still the former one")
	}
	if code, out, _ := h.operate(t, "secrets", "status"); code != 0 || !strings.Contains(out, "primary key  "+second.PrimaryKey+", since ") || !strings.Contains(out, "former keys  "+first.PrimaryKey+", until ") {
		t.Errorf("for people it is\n%s", out)
	}

	t.Run("no secret is in the log or in Kafka", func(t *testing.T) { nothingShows(t, h, admin, id, secret, vault.Token) })
	secret = admin.get("/v1/webhooks/" + id + "/secret").want(http.StatusOK).text("secret")

	t.Run("a second start opens everything", func(t *testing.T) {
		h.kill()
		h.start()
		if got := admin.get("/v1/webhooks/" + id + "/secret").want(http.StatusOK).text("secret"); got != secret {
			t.Errorf("the secret is %q, was %q", got, secret)
		}
		admin.get("/v1/replays/" + replay).want(http.StatusOK) // its receiver's secret is sealed too
	})
	stops := func(name string, code int, change map[string]string, words ...string) {
		t.Run(name, func(t *testing.T) {
			h.kill()
			had := make(map[string]string)
			for k, v := range change {
				had[k], h.env[k] = h.env[k], v
			}
			defer func() {
				for k, v := range had {
					h.env[k] = v
				}
			}()
			got, said := h.ends(t)
			line := lastLine(said)
			if got != code || !strings.HasPrefix(line, "trunkline: ") {
				t.Errorf("exit code %d, want %d; it said\n%s", got, code, said)
			}
			for _, w := range words {
				if !strings.Contains(line, w) {
					t.Errorf("%q is not in %q", w, line)
				}
			}
			if strings.Contains(said, "a-wrong-token") {
				t.Errorf("the token is in the log: %s", said)
			}
		})
	}
	stops("a URI that names no key", 2, map[string]string{"TRUNKLINE_SECRETS_KMS": "vault://trunkline"}, "TRUNKLINE_SECRETS_KMS", "expected aws-kms://", "hcvault://")
	stops("a key that does not exist", 1, map[string]string{"TRUNKLINE_SECRETS_KMS": "hcvault:///transit/keys/other"}, "name it in TRUNKLINE_SECRETS_KMS")
	stops("a token that may not", 1, map[string]string{"VAULT_TOKEN": "a-wrong-token"}, "hcvault:///transit/keys/trunkline", "permission denied")
	stops("without the setting", 1, map[string]string{"TRUNKLINE_SECRETS_KMS": ""}, "is sealed by hcvault:///transit/keys/trunkline: name it in TRUNKLINE_SECRETS_KMS")
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

// nothingShows looks for secrets where they must not be.
func nothingShows(t *testing.T, h *hub, admin caller, webhook, secret, token string) {
	renewed := admin.post("/v1/webhooks/"+webhook+"/rotate-secret", nil).want(http.StatusOK).text("secret")
	admin.post("/v1/webhooks/"+webhook+"/rotate-signing-key", nil).want(http.StatusOK)
	admin.post("/v1/webhooks/"+webhook+"/test", nil).want(http.StatusOK)
	admin.patch("/v1/webhooks/"+webhook, object{"secret": secret}).want(http.StatusBadRequest)
	connection := admin.post("/v1/connections", object{"name": "x", "dialect": "dialercx"}).want(http.StatusCreated)
	consents := admin.post("/v1/webhooks", object{"name": "c", "dialect": "dialercx", "url": "http://127.0.0.1:1/", "events": list{"call.started"}, "handshake": true}).want(http.StatusCreated)
	if consents.at("enabled") != false {
		t.Errorf("got %s", consents.body)
	}
	bare := func(s string) string { return strings.TrimPrefix(s, "whsec_") }
	hidden := map[string]string{
		"a signing secret": bare(secret), "the new secret": bare(renewed), "a connection's secret": bare(connection.text("secret")),
		"the customer's credential": "a-credential-of-the-customer", "the KMS's token": token, "an API key": admin.key, "the admin key": h.env["TRUNKLINE_ADMIN_KEY"],
		"a private key": "whsk_", "a keyset": "primaryKeyId",
	}
	check := func(where, text string) {
		for what, s := range hidden {
			if i := strings.Index(text, s); i >= 0 {
				t.Errorf("%s holds %s: …%s", where, what, text[max(0, i-200):min(len(text), i+100)])
			}
		}
	}
	check("the hub's log", h.out.String())
	want := map[string]string{"trunkline.admin.v1": "signing_key_rotated", "trunkline.deliveries.v1": "delivery.attempted.v1"}
	for topic, mark := range want {
		var all strings.Builder
		eventually(t, mark+" in "+topic, func(ctx context.Context) error {
			all.Reset()
			if err := dump(ctx, h.env["TRUNKLINE_KAFKA_ADDR"], topic, &all); err != nil {
				return err
			}
			if !strings.Contains(all.String(), mark) {
				return errors.New("not yet")
			}
			return nil
		})
		check(topic, all.String())
	}
}

// dump reads a topic as it stands in Kafka: headers and values.
func dump(ctx context.Context, broker, topic string, into *strings.Builder) error {
	return eachRecord(ctx, broker, topic, func(m kafka.Message) { fmt.Fprintf(into, "%s %s %s\n", m.Key, m.Headers, m.Value) })
}

// eachRecord reads a topic as it stands in Kafka.
func eachRecord(ctx context.Context, broker, topic string, each func(kafka.Message)) error {
	conn, err := kafka.DialContext(ctx, "tcp", broker)
	if err != nil {
		return err
	}
	defer conn.Close()
	partitions, err := conn.ReadPartitions(topic)
	if err != nil {
		return err
	}
	for _, p := range partitions {
		leader, err := kafka.DialLeader(ctx, "tcp", broker, topic, p.ID)
		if err != nil {
			return err
		}
		first, last, err := leader.ReadOffsets()
		leader.Close()
		if err != nil {
			return err
		}
		if first == last {
			continue
		}
		r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{broker}, Topic: topic, Partition: p.ID, MaxWait: 100 * time.Millisecond})
		for {
			m, err := r.ReadMessage(ctx)
			if err != nil {
				r.Close()
				return err
			}
			each(m)
			if m.Offset >= last-1 {
				break
			}
		}
		r.Close()
	}
	return nil
}
