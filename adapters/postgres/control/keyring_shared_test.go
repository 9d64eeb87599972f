package control_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"trunkline.dev/trunkline/adapters/postgres/control"
	"trunkline.dev/trunkline/commands/settings/settingstest"
)

func TestHubsWithOneAdminKeyGetOneKeyring(t *testing.T) {
	t.Parallel()
	pool, where := database(t)
	dirs := make([]string, 4)
	texts := make([]string, len(dirs))
	var wg sync.WaitGroup
	for i := range dirs {
		dirs[i] = filepath.Join(t.TempDir(), "secrets.key")
		wg.Go(func() {
			k, err := control.JoinKeyring(t.Context(), control.KeyringConfig{Pool: pool, Path: dirs[i], AdminKey: "the admin key"})
			if err != nil {
				t.Error(err)
				return
			}
			if err := k.Share(t.Context()); err != nil {
				t.Error(err)
			}
			text, err := os.ReadFile(dirs[i])
			if err != nil {
				t.Error(err)
			}
			texts[i] = string(text)
		})
	}
	wg.Wait()
	for i, text := range texts {
		if text != texts[0] || text == "" {
			t.Fatalf("hub %d has another keyring than hub 0", i)
		}
	}

	t.Run("a hub with another admin key has none", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "secrets.key")
		if _, err := control.JoinKeyring(t.Context(), control.KeyringConfig{Pool: pool, Path: path, AdminKey: "a guess"}); !errors.Is(err, control.ErrNoKeyring) {
			t.Errorf("got %v, want ErrNoKeyring", err)
		}
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("it left a file: %v", err)
		}
	})
	t.Run("a hub with the file brings its admin key", func(t *testing.T) {
		k, err := control.JoinKeyring(t.Context(), control.KeyringConfig{Pool: pool, Path: dirs[0], AdminKey: "a new admin key"})
		if err != nil {
			t.Fatal(err)
		}
		if err := k.Share(t.Context()); err != nil {
			t.Fatal(err)
		}
		joined, err := control.JoinKeyring(t.Context(), control.KeyringConfig{Pool: pool, Path: filepath.Join(t.TempDir(), "secrets.key"), AdminKey: "a new admin key"})
		if err != nil {
			t.Fatal(err)
		}
		apply(t, start(t, pool, k, time.Now), settingstest.Everything())
		start(t, connect(t, where), joined, time.Now) // opens what the other sealed
	})
	t.Run("the database shows neither", func(t *testing.T) {
		var dump string
		if err := pool.QueryRow(t.Context(), "SELECT string_agg(encode(sealed, 'escape'), '') FROM keyrings").Scan(&dump); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(dump, "primaryKeyId") || strings.Contains(dump, "admin key") {
			t.Error("the keyring or the admin key stands in the database as it is")
		}
	})
}
