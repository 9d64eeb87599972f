package control_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"trunkline.dev/trunkline/adapters/postgres/control"
	"trunkline.dev/trunkline/commands/settings/settingstest"
)

// held is a key of a service in this process.
type held struct {
	uri  string
	aead tink.AEAD
	away atomic.Bool
}

func newHeld(t *testing.T, uri string) *held {
	t.Helper()
	h, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		t.Fatal(err)
	}
	a, err := aead.New(h)
	if err != nil {
		t.Fatal(err)
	}
	return &held{uri: uri, aead: a}
}

func (h *held) URI() string { return h.uri }

func (h *held) Seal(text []byte, about string) ([]byte, error) {
	if h.away.Load() {
		return nil, errAway
	}
	return h.aead.Encrypt(text, []byte(about))
}

func (h *held) Open(sealed []byte, about string) ([]byte, error) {
	if h.away.Load() {
		return nil, errAway
	}
	return h.aead.Decrypt(sealed, []byte(about))
}

// shows are the keyrings that the database has, by what sealed them.
func shows(t *testing.T, url string) string {
	t.Helper()
	var by string
	if err := connect(t, url).QueryRow(t.Context(), "SELECT coalesce(string_agg(sealed_by, ', ' ORDER BY sealed_by), '') FROM keyrings").Scan(&by); err != nil {
		t.Fatal(err)
	}
	return by
}

// clear reports whether a file holds a keyset as it is.
func isClear(t *testing.T, path string) bool {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(text), "primaryKeyId")
}

func refused(t *testing.T, url, path string, kms ...control.KMS) error {
	t.Helper()
	_, err := control.JoinKeyring(t.Context(), control.KeyringConfig{Pool: connect(t, url), Path: path, AdminKey: "the admin key", KMS: kms})
	if err == nil {
		t.Fatal("the keyring was opened")
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("more than a line: %q", err)
	}
	return err
}

func TestAKMSHoldsTheKey(t *testing.T) {
	t.Parallel()
	_, url := database(t)
	kms := newHeld(t, "aws-kms://one")
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }

	one := newNode(t, url, at("one"), time.Now, kms)
	apply(t, one.store, settingstest.Everything())
	if got := shows(t, url); got != kms.uri || isClear(t, one.path) {
		t.Errorf("the database has it by %q, the file in the clear %v", got, isClear(t, one.path))
	}
	info, err := os.Stat(one.path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("secrets.key has mode %v, %v", info.Mode(), err)
	}

	t.Run("a hub without a file gets it", func(t *testing.T) { newNode(t, url, at("two"), time.Now, kms) })
	t.Run("a hub with only the file gets it", func(t *testing.T) {
		if _, err := connect(t, url).Exec(t.Context(), "DELETE FROM keyrings"); err != nil {
			t.Fatal(err)
		}
		newNode(t, url, one.path, time.Now, kms)
		if got := shows(t, url); got != kms.uri {
			t.Errorf("the database has it by %q", got)
		}
	})
	t.Run("one that is away is waited for", func(t *testing.T) {
		kms.away.Store(true)
		defer kms.away.Store(false)
		if err := refused(t, url, at("three"), kms); !errors.Is(err, control.ErrKMS) || !errors.Is(err, errAway) {
			t.Errorf("got %v, want ErrKMS", err)
		}
	})
	t.Run("without the setting it is named", func(t *testing.T) {
		for _, path := range []string{at("four"), one.path} {
			if err := refused(t, url, path); !errors.Is(err, control.ErrNoKeyring) || !strings.Contains(err.Error(), "aws-kms://one: name it in TRUNKLINE_SECRETS_KMS") {
				t.Errorf("got %v", err)
			}
		}
	})
	t.Run("another key does not open it", func(t *testing.T) {
		if err := refused(t, url, at("five"), newHeld(t, "aws-kms://other")); !errors.Is(err, control.ErrNoKeyring) {
			t.Errorf("got %v", err)
		}
		if err := refused(t, url, at("six"), newHeld(t, "aws-kms://one")); !errors.Is(err, control.ErrKMS) {
			t.Errorf("of the same name: got %v", err)
		}
	})
	t.Run("a rotation is sealed by it", func(t *testing.T) {
		if _, err := one.store.RotateKeyring(t.Context(), "key/admin"); err != nil {
			t.Fatal(err)
		}
		if got := shows(t, url); got != kms.uri || isClear(t, one.path) {
			t.Errorf("the database has it by %q, the file in the clear %v", got, isClear(t, one.path))
		}
		newNode(t, url, at("seven"), time.Now, kms)
		newNode(t, url, at("two"), time.Now, kms) // was down
	})
	t.Run("a rotation while it is away changes nothing", func(t *testing.T) {
		before := one.file(t)
		kms.away.Store(true)
		_, err := one.store.RotateKeyring(t.Context(), "key/admin")
		kms.away.Store(false)
		if !errors.Is(err, errAway) || one.file(t) != before {
			t.Errorf("got %v", err)
		}
		newNode(t, url, at("eight"), time.Now, kms)
	})
}

func TestMovingToAKMSAndBack(t *testing.T) {
	t.Parallel()
	_, url := database(t)
	first, second := newHeld(t, "hcvault:///transit/keys/first"), newHeld(t, "aws-kms://second")
	path, elsewhere := filepath.Join(t.TempDir(), "secrets.key"), filepath.Join(t.TempDir(), "secrets.key")
	file := newNode(t, url, path, time.Now)
	apply(t, file.store, settingstest.Everything())
	newNode(t, url, elsewhere, time.Now)
	for _, step := range []struct {
		name  string
		kms   []control.KMS
		by    string
		clear bool
	}{
		{"into a KMS", []control.KMS{first}, first.uri, false},
		{"once more", []control.KMS{first}, first.uri, false},
		{"to another", []control.KMS{second, first}, second.uri, false},
		{"without the first", []control.KMS{second}, second.uri, false},
		{"back to the file", []control.KMS{nil, second}, "admin key, " + second.uri, true},
		{"without any", nil, "admin key, " + second.uri, true},
		{"in again", []control.KMS{first}, first.uri, false},
	} {
		n := newNode(t, url, path, time.Now, step.kms...)
		if got := shows(t, url); got != step.by || isClear(t, path) != step.clear {
			t.Errorf("%s: the database has it by %q, want %q; the file is in the clear: %v", step.name, got, step.by, isClear(t, path))
		}
		if _, ok := n.store.Directory().Org("org"); !ok {
			t.Errorf("%s: the settings are not read", step.name)
		}
		// A hub with another folder, which had the former file.
		newNode(t, url, elsewhere, time.Now, step.kms...)
	}
}
