package control_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"trunkline.dev/trunkline/adapters/postgres/control"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/commands/idempotencytest"
	"trunkline.dev/trunkline/commands/settings"
	"trunkline.dev/trunkline/commands/settings/settingstest"
	"trunkline.dev/trunkline/domain/delivery"
)

// node is one hub of several on a database, with a folder of its own.
type node struct {
	path        string
	keyring     *control.Keyring
	store       *control.Store
	idempotency *control.Idempotency
}

func join(t *testing.T, pool *pgxpool.Pool, path string, kms ...control.KMS) *control.Keyring {
	t.Helper()
	k, err := control.JoinKeyring(t.Context(), control.KeyringConfig{Pool: pool, Path: path, AdminKey: "the admin key", KMS: kms})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newNode(t *testing.T, url, path string, clock commands.Clock, kms ...control.KMS) *node {
	t.Helper()
	pool := connect(t, url)
	n := &node{path: path, keyring: join(t, pool, path, kms...)}
	n.store = start(t, pool, n.keyring, clock)
	if err := n.keyring.Share(t.Context()); err != nil {
		t.Fatal(err)
	}
	var err error
	n.idempotency, err = control.NewIdempotency(control.IdempotencyConfig{Pool: pool, Keyring: n.keyring, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (n *node) file(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(n.path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// answers lets a hub answer a request once.
func (n *node) answers(t *testing.T, key, body string) {
	t.Helper()
	if _, r, err := n.idempotency.Begin(t.Context(), "org", key, "route", [32]byte{1}); r != nil || err != nil {
		t.Fatal(r, err)
	}
	if err := n.idempotency.Finish(t.Context(), "org", key, "route", commands.StoredResponse{Status: 200, Body: []byte(body)}); err != nil {
		t.Fatal(err)
	}
}

func (n *node) remembers(t *testing.T, key, body string) {
	t.Helper()
	_, r, err := n.idempotency.Begin(t.Context(), "org", key, "route", [32]byte{1})
	if err != nil || r == nil || string(r.Body) != body {
		t.Errorf("the answer to %s is %+v, %v", key, r, err)
	}
}

// until waits for what another hub did.
func until(t *testing.T, n *node, what string, done func(*settings.Snapshot) bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for !done(n.store.Directory().Snapshot()) {
		select {
		case <-n.store.Directory().Changed():
		case <-deadline:
			t.Fatalf("%s did not arrive", what)
		}
	}
}

func TestRotatingTheKeyring(t *testing.T) {
	t.Parallel()
	_, url := database(t)
	clock := idempotencytest.NewClock()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	first, second := newNode(t, url, at("one"), clock.Now), newNode(t, url, at("two"), clock.Now)
	apply(t, first.store, settingstest.Everything())
	until(t, second, "the settings", func(s *settings.Snapshot) bool { return s.Revision >= 1 })
	if err := os.WriteFile(at("former"), []byte(first.file(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	down := newNode(t, url, at("down"), clock.Now)
	if err := down.store.Stop(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	first.answers(t, "before", "sealed by the former key")
	keepReplay(t, url, "replay-1", first.keyring, "the secret of its receiver")
	keepReplay(t, url, "lost", keyring(t), "sealed by nobody's key")

	state, err := first.store.RotateKeyring(t.Context(), "key/admin")
	if err != nil {
		t.Fatal(err)
	}
	if len(state.Keys) != 2 || !state.Keys[0].Primary || state.SealedBy != "admin key" || !state.RetiresAt.Equal(clock.Now().Add(25*time.Hour)) || !state.RotatedAt.Equal(clock.Now()) {
		t.Errorf("after the rotation the keyring is %+v", state)
	}

	t.Run("a replay's own receiver is sealed by the new key", func(t *testing.T) {
		sealed := sealedReplay(t, url, "replay-1")
		if text, err := first.keyring.Open(sealed, dispatch.SealedAs("org-1", "replay-1")); err != nil || string(text) != "the secret of its receiver" {
			t.Errorf("%q %v", text, err)
		}
		former, err := control.OpenKeyring(at("former"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := former.Open(sealed, dispatch.SealedAs("org-1", "replay-1")); err == nil {
			t.Error("the former key opens it")
		}
	})
	t.Run("the former key opens no setting", func(t *testing.T) {
		k, err := control.OpenKeyring(at("former"))
		if err != nil {
			t.Fatal(err)
		}
		s, err := control.New(control.Config{Pool: connect(t, url), Keyring: k, Clock: clock.Now, Log: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "secrets.key") {
			t.Errorf("got %v, want a start that stops", err)
		}
		t.Cleanup(func() { _ = s.Stop(context.WithoutCancel(t.Context())) })
	})
	t.Run("another hub follows by itself", func(t *testing.T) {
		until(t, second, "the rotation", func(s *settings.Snapshot) bool { return s.Revision >= 2 })
		want := settingstest.Everything()
		want.Facts = nil
		if diff := cmp.Diff(want, settingstest.All(second.store.Directory().Snapshot())); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if second.file(t) != first.file(t) {
			t.Error("its secrets.key is another")
		}
		second.answers(t, "after", "sealed by the new key")
	})
	t.Run("a hub that was down follows at its start", func(t *testing.T) {
		again := newNode(t, url, down.path, clock.Now)
		if again.file(t) != first.file(t) {
			t.Error("its secrets.key is another")
		}
	})
	t.Run("answers of before and after are remembered everywhere", func(t *testing.T) {
		for _, n := range []*node{first, second} {
			n.remembers(t, "before", "sealed by the former key")
			n.remembers(t, "after", "sealed by the new key")
		}
		// One that has not heard of the rotation asks.
		down.remembers(t, "after", "sealed by the new key")
	})
	t.Run("a change of another hub is sealed by the new key", func(t *testing.T) {
		apply(t, second.store, settings.Changes{Endpoints: []delivery.Endpoint{{ID: "later", Org: "org", Name: "later", Secrets: []delivery.Secret{{Value: "whsec_later"}}}}})
		fresh := newNode(t, url, at("fresh"), clock.Now)
		e, _ := fresh.store.Directory().Endpoint("later")
		if settings.Current(e) != "whsec_later" {
			t.Errorf("got %+v", e)
		}
	})
	t.Run("the rotation is in the audit", func(t *testing.T) {
		var found int
		err := connect(t, url).QueryRow(t.Context(), "SELECT count(*) FROM admin_outbox WHERE event::TEXT LIKE '%keyring_rotated%key/admin%'").Scan(&found)
		if err != nil || found != 1 {
			t.Errorf("%d facts, %v", found, err)
		}
	})
	t.Run("former keys go when nothing is sealed by them any more", func(t *testing.T) {
		// A hub that had not heard of the rotation made another replay.
		former, err := control.OpenKeyring(at("former"))
		if err != nil {
			t.Fatal(err)
		}
		keepReplay(t, url, "replay-2", former, "sealed late by the former key")
		clock.Advance(25 * time.Hour)
		apply(t, second.store, settings.Changes{}) // wakes those who follow
		deadline := time.After(30 * time.Second)
		for {
			state, err := second.store.KeyringState(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(state.Keys) == 1 && state.RetiresAt.IsZero() {
				break
			}
			apply(t, second.store, settings.Changes{})
			select {
			case <-deadline:
				t.Fatalf("the keyring is still %+v", state)
			case <-second.store.Directory().Changed():
			}
		}
		last := newNode(t, url, at("last"), clock.Now) // opens everything
		for id, want := range map[string]string{"replay-1": "the secret of its receiver", "replay-2": "sealed late by the former key"} {
			if text, err := last.keyring.Open(sealedReplay(t, url, id), dispatch.SealedAs("org-1", id)); err != nil || string(text) != want {
				t.Errorf("%s: %q %v", id, text, err)
			}
		}
	})
}

// TestEverySealedColumnIsSealedAnew fails for a new table with sealed rows until
// somebody has seen to it that a rotation reaches them.
func TestEverySealedColumnIsSealedAnew(t *testing.T) {
	t.Parallel()
	pool, _ := database(t)
	var columns []string
	err := pool.QueryRow(t.Context(), `
SELECT array_agg(table_name || '.' || column_name ORDER BY table_name, column_name)
FROM information_schema.columns
WHERE table_schema = 'public' AND data_type = 'bytea'`).Scan(&columns)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range columns {
		switch c {
		case "orgs.sealed", "connections.sealed", "endpoints.sealed", "replays.sealed": // by RotateKeyring
		case "idempotency_keys.body": // expires before the former keys go
		case "keyrings.sealed", "keyrings.fingerprint", "keyrings.shared_by": // the keyring itself
		case "api_keys.key_hash", "idempotency_keys.fingerprint", "idempotency_keys.owner": // hashes, not sealed
		default:
			if strings.Contains(c, "seal") || strings.Contains(c, "secret") {
				t.Errorf("%s: is it sealed by the keyring? Then RotateKeyring must reach it", c)
			}
		}
	}
	for _, want := range []string{"orgs.sealed", "connections.sealed", "endpoints.sealed"} {
		if !slices.Contains(columns, want) {
			t.Errorf("there is no column %s", want)
		}
	}
}

func TestAFileOfAnotherDatabaseIsSetAside(t *testing.T) {
	t.Parallel()
	_, url := database(t)
	_, other := database(t)
	dir := t.TempDir()
	first := newNode(t, url, filepath.Join(dir, "secrets.key"), time.Now)
	apply(t, first.store, settingstest.Everything())
	// A folder with the keyring of another installation, started on this database.
	foreign := newNode(t, other, filepath.Join(dir, "foreign"), time.Now)
	theirs := foreign.file(t)
	k := join(t, connect(t, url), foreign.path)
	start(t, connect(t, url), k, time.Now)
	if foreign.file(t) != first.file(t) {
		t.Error("the file is not the one of this database")
	}
	kept := false
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if text, err := os.ReadFile(filepath.Join(dir, e.Name())); err == nil && string(text) == theirs {
			kept = true
		}
	}
	if !kept {
		t.Error("the keyring of the other database is lost")
	}
}

var errAway = errors.New("away")

// keepReplay stores a replay with a receiver of its own.
func keepReplay(t *testing.T, url, id string, k *control.Keyring, secret string) {
	t.Helper()
	sealed, err := k.Seal([]byte(secret), dispatch.SealedAs("org-1", id))
	if err != nil {
		t.Fatal(err)
	}
	_, err = connect(t, url).Exec(t.Context(), `
INSERT INTO replays (replay_id, org_id, kind, state, detail, from_at, types, entity_id, list_id, endpoint_id, sealed, rate_per_sec, same, created_by,
    created_at, changed_at, cursor, read, events, deliveries, filtered, scanned, total, first_at, last_at)
VALUES ($2, 'org-1', 'replay', 'running', '', now(), '{}', '', '', '', $1, 0, '', '', now(), now(), '', false, 0, 0, 0, 0, 0, '', '')`, sealed, id)
	if err != nil {
		t.Fatal(err)
	}
}

func sealedReplay(t *testing.T, url, id string) (sealed []byte) {
	t.Helper()
	if err := connect(t, url).QueryRow(t.Context(), `SELECT sealed FROM replays WHERE replay_id = $1`, id).Scan(&sealed); err != nil {
		t.Fatal(err)
	}
	return sealed
}
