package control

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// ErrNoKeyring says that a database holds secrets and this hub has no keyring
// for them.
var ErrNoKeyring = errors.New("no keyring")

// KeyringConfig says where a keyring is kept.
type KeyringConfig struct {
	// Pool is the migrated database that hubs share.
	Pool *pgxpool.Pool
	// Path is secrets.key.
	Path string
	// AdminKey is the first org's. Hubs of one admin key get the keyring of each
	// other by the database, where nothing else holds its key.
	AdminKey string
	// KMS holds the key of the keyring; the first seals, the others only open,
	// while an installation moves from one to another. Empty: nobody does. A nil
	// first entry means that the keyring is to be held by nobody again.
	KMS []KMS
	// Log gets what an operator should know; default nowhere.
	Log *slog.Logger
}

// kms is what seals the keyring, nil without a service.
func (c KeyringConfig) kms() wrapper {
	if len(c.KMS) == 0 || c.KMS[0] == nil {
		return nil
	}
	return byKMS{c.KMS[0]}
}

// seals is what seals the keyring in the database.
func (c KeyringConfig) seals() wrapper {
	if w := c.kms(); w != nil {
		return w
	}
	return byAdminKey{c.AdminKey}
}

// opens are what may have sealed it, the present one first.
func (c KeyringConfig) opens() []wrapper {
	all := []wrapper{c.seals()}
	for i, k := range c.KMS {
		if i > 0 && k != nil {
			all = append(all, byKMS{k})
		}
	}
	if c.kms() != nil {
		all = append(all, byAdminKey{c.AdminKey})
	}
	return all
}

// by finds a service's key by its name.
func (c KeyringConfig) by(name string) wrapper {
	for _, w := range c.opens() {
		if w.name() == name {
			return w
		}
	}
	return nil
}

func (c KeyringConfig) log() *slog.Logger {
	if c.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return c.Log
}

// JoinKeyring opens the keyring of a database: what the hubs that share it left
// there, sealed by the admin key or by a KMS, or the file. For a database
// without secrets it makes one; of several hubs that start at once all get the
// same. An error that is ErrKMS may be cured by waiting.
func JoinKeyring(ctx context.Context, cfg KeyringConfig) (*Keyring, error) {
	k := &Keyring{cfg: cfg}
	found, err := k.join(ctx)
	if err != nil {
		return nil, fmt.Errorf("opening the keyring: %w", err)
	}
	k.state.Store(found)
	return k, nil
}

func (k *Keyring) join(ctx context.Context) (found *keys, err error) {
	fromFile, err := k.readFile()
	if err != nil {
		return nil, err
	}
	// The lock that every change of a setting takes: hubs come one after another.
	err = pgx.BeginFunc(ctx, k.cfg.Pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, lockRevision); err != nil {
			return err
		}
		if found, err = k.choose(ctx, tx, fromFile); err != nil || found != nil {
			return err
		}
		if found, err = newKeys(); err != nil {
			return err
		}
		return k.share(ctx, tx, found)
	})
	if err != nil || fromFile != nil && fromFile.fingerprint() == found.fingerprint() {
		return found, err
	}
	if fromFile != nil {
		return found, k.replaceFile(found)
	}
	return k.createFile(found)
}

// choose takes the keyring that opens what the database holds: the shared one,
// which a rotation may have moved on, before the file. Nothing is chosen for a
// database without secrets that no file belongs to.
func (k *Keyring) choose(ctx context.Context, tx pgx.Tx, fromFile *keys) (*keys, error) {
	shared, err := k.shared(ctx, tx, fromFile)
	if err != nil {
		return nil, err
	}
	for _, candidate := range []*keys{shared, fromFile} {
		if candidate == nil {
			continue
		}
		ok, err := opensRows(ctx, tx, candidate)
		if err != nil || ok {
			return candidate, err
		}
	}
	switch {
	case fromFile != nil:
		return fromFile, nil // the start says which row it does not open
	case shared != nil:
		return shared, nil
	}
	var some bool
	var by *string
	if err := tx.QueryRow(ctx, anySealed).Scan(&some, &by); err != nil || !some {
		return nil, err
	}
	if by != nil && *by != byAdminKeyName {
		return nil, fmt.Errorf("%w: the keyring of the database is sealed by %s: name it in TRUNKLINE_SECRETS_KMS", ErrNoKeyring, *by)
	}
	return nil, fmt.Errorf("%w: the database holds secrets of another hub: start with its TRUNKLINE_ADMIN_KEY, or copy its secrets.key to %s", ErrNoKeyring, k.cfg.Path)
}

// shared returns the keyring that the database has for this hub, nil if it has
// none. One that has the fingerprint of what is at hand is not unsealed.
func (k *Keyring) shared(ctx context.Context, tx pgx.Tx, atHand *keys) (*keys, error) {
	for _, w := range k.cfg.opens() {
		var fingerprint, sealed []byte
		var retires *time.Time
		err := tx.QueryRow(ctx, selectKeyring, w.key()).Scan(&fingerprint, &sealed, &retires)
		if errors.Is(err, pgx.ErrNoRows) {
			continue
		}
		if err != nil {
			return nil, err
		}
		k.retires.Store(retires)
		if atHand != nil {
			if mark := atHand.fingerprint(); bytes.Equal(fingerprint, mark[:]) {
				return atHand, nil
			}
		}
		text, err := w.open(sealed)
		if err != nil {
			return nil, err
		}
		return readKeys(text)
	}
	return nil, nil
}

// opensRows reports whether a keyring opens what the database holds. All rows
// are sealed by one primary key, so one of them tells.
func opensRows(ctx context.Context, tx pgx.Tx, candidate *keys) (bool, error) {
	var id string
	var sealed []byte
	err := tx.QueryRow(ctx, anyOrg).Scan(&id, &sealed)
	if errors.Is(err, pgx.ErrNoRows) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	_, err = candidate.open(sealed, about("org", id, id))
	return err == nil, nil
}

// follow takes the keyring over that another hub rotated to, in the transaction
// that reads the rows.
func (k *Keyring) follow(ctx context.Context, tx pgx.Tx) error {
	if k.cfg.Pool == nil {
		return nil // shared with nobody
	}
	k.moving.Lock()
	defer k.moving.Unlock()
	before := k.state.Load()
	next, err := k.shared(ctx, tx, before)
	if err != nil || next == nil || next == before {
		return err
	}
	if ok, err := opensRows(ctx, tx, next); err != nil || !ok {
		return err
	}
	k.moved(ctx, next)
	return nil
}

// moved makes a keyring this process's.
func (k *Keyring) moved(ctx context.Context, next *keys) {
	k.state.Store(next)
	log := k.cfg.log()
	log.InfoContext(ctx, "the keyring was exchanged", slog.Any("primary_key", next.primary()), slog.Int("keys", len(next.infos())))
	if err := k.replaceFile(next); err != nil {
		// The database has it; the file is for whoever loses the database's row.
		log.WarnContext(ctx, "secrets.key could not be written", slog.Any("err", err))
	}
}

// Refresh looks whether another hub has rotated the keyring.
func (k *Keyring) Refresh(ctx context.Context) error {
	if k.cfg.Pool == nil {
		return nil
	}
	return pgx.BeginTxFunc(ctx, k.cfg.Pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error { return k.follow(ctx, tx) })
}

// Share leaves the keyring in the database for other hubs, sealed by what seals
// it now, and the file likewise. Where that is a KMS, nothing else stays that
// opens it. Call it when the keyring has opened what the database holds.
func (k *Keyring) Share(ctx context.Context) error {
	k.moving.Lock()
	defer k.moving.Unlock()
	now, w := k.state.Load(), k.cfg.seals()
	fingerprint := now.fingerprint()
	var done bool
	if err := k.cfg.Pool.QueryRow(ctx, keyringShared, w.key(), fingerprint[:]).Scan(&done); err != nil {
		return fmt.Errorf("sharing the keyring: %w", err)
	}
	if !done {
		if err := pgx.BeginFunc(ctx, k.cfg.Pool, func(tx pgx.Tx) error { return k.share(ctx, tx, now) }); err != nil {
			return fmt.Errorf("sharing the keyring: %w", err)
		}
	}
	if k.fileIs(w) {
		return nil
	}
	if err := k.replaceFile(now); err != nil {
		return fmt.Errorf("writing secrets.key: %w", err)
	}
	k.cfg.log().InfoContext(ctx, "secrets.key is sealed anew; destroy copies of the former file", slog.String("by", w.name()))
	return nil
}

// share writes the keyring's row. What a KMS seals is shown to nobody else.
func (k *Keyring) share(ctx context.Context, tx pgx.Tx, of *keys) error {
	w := k.cfg.seals()
	sealed, err := w.seal(of.text)
	if err != nil {
		return err
	}
	// What cannot be opened again must not take the place of what can.
	if again, err := w.open(sealed); err != nil || !bytes.Equal(again, of.text) {
		return fmt.Errorf("%s does not open what it sealed: %w", w.name(), errors.Join(err, errContent))
	}
	fingerprint := of.fingerprint()
	if _, err := tx.Exec(ctx, upsertKeyring, w.key(), fingerprint[:], sealed, w.name()); err != nil {
		return err
	}
	if k.cfg.kms() != nil {
		_, err = tx.Exec(ctx, deleteOtherKeyrings, w.key())
	}
	return err
}
