package control

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// ErrNoKeyring says that a database holds secrets and this hub has no keyring
// for them.
var ErrNoKeyring = errors.New("no keyring")

// JoinKeyring opens the keyring of a database: the file when there is one, else
// what a hub with the same admin key left in the database, which is then written
// to the file. For a database without secrets it makes one; of several hubs that
// start at once all get the same.
func JoinKeyring(ctx context.Context, pool *pgxpool.Pool, path, adminKey string) (*Keyring, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		text, err = join(ctx, pool, path, adminKey)
		if err == nil {
			text, err = writeOnce(path, text)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("opening the keyring: %w", err)
	}
	return readKeyring(path, text)
}

func join(ctx context.Context, pool *pgxpool.Pool, path, adminKey string) (text []byte, err error) {
	// The lock that every change of a setting takes: hubs come one after another.
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, lockRevision); err != nil {
			return err
		}
		var sealed []byte
		by := sha256.Sum256([]byte(adminKey))
		err := tx.QueryRow(ctx, selectKeyring, by[:]).Scan(&sealed)
		if err == nil {
			text, err = unwrap(sealed, adminKey)
			return err
		}
		if !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		var some bool
		if err := tx.QueryRow(ctx, anySealed).Scan(&some); err != nil {
			return err
		}
		if some {
			return fmt.Errorf("%w: the database holds secrets of another hub: start with its TRUNKLINE_ADMIN_KEY, or copy its secrets.key to %s", ErrNoKeyring, path)
		}
		if text, err = newKeyset(); err != nil {
			return err
		}
		return share(ctx, tx, text, adminKey)
	})
	return text, err
}

// Share leaves the keyring in the database for hubs with the same admin key.
// Call it when the keyring has opened what the database holds.
func (k *Keyring) Share(ctx context.Context, pool *pgxpool.Pool, adminKey string) error {
	by, content := sha256.Sum256([]byte(adminKey)), sha256.Sum256(k.text)
	var done bool
	if err := pool.QueryRow(ctx, keyringShared, by[:], content[:]).Scan(&done); err != nil {
		return fmt.Errorf("sharing the keyring: %w", err)
	}
	if done {
		return nil
	}
	if err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return share(ctx, tx, k.text, adminKey) }); err != nil {
		return fmt.Errorf("sharing the keyring: %w", err)
	}
	return nil
}

func share(ctx context.Context, tx pgx.Tx, text []byte, adminKey string) error {
	sealed, err := wrap(text, adminKey)
	if err != nil {
		return err
	}
	by, content := sha256.Sum256([]byte(adminKey)), sha256.Sum256(text)
	_, err = tx.Exec(ctx, upsertKeyring, by[:], content[:], sealed)
	return err
}

const (
	saltBytes = 16
	// kdfRounds is OWASP's figure for PBKDF2 with SHA-256: an admin key may be a
	// word that a person chose.
	kdfRounds = 600_000
	wrapAbout = "trunkline keyring"
)

func wrapper(adminKey string, salt []byte) (cipher.AEAD, error) {
	key, err := pbkdf2.Key(sha256.New, adminKey, salt, kdfRounds, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// wrap seals a keyset by an admin key: salt, nonce, ciphertext.
func wrap(text []byte, adminKey string) ([]byte, error) {
	salt := make([]byte, saltBytes)
	if _, err := rand.Read(salt); err != nil {
		return nil, err
	}
	w, err := wrapper(adminKey, salt)
	if err != nil {
		return nil, err
	}
	return w.Seal(salt, nil, text, []byte(wrapAbout)), nil
}

func unwrap(sealed []byte, adminKey string) ([]byte, error) {
	if len(sealed) < saltBytes {
		return nil, fmt.Errorf("%w: the keyring in the database is cut short", errContent)
	}
	w, err := wrapper(adminKey, sealed[:saltBytes])
	if err != nil {
		return nil, err
	}
	text, err := w.Open(nil, nil, sealed[saltBytes:], []byte(wrapAbout))
	if err != nil {
		return nil, fmt.Errorf("%w: the keyring in the database: %w", errContent, err)
	}
	return text, nil
}
