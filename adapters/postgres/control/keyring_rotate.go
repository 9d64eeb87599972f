package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"trunkline.dev/trunkline/adapters/postgres/internal/dbtime"
	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/commands/settings"
	"trunkline.dev/trunkline/domain/tenant"
)

// formerKeys is how long keys stay that are no longer primary: stored answers
// are sealed by them, and are kept for a day.
const formerKeys = 25 * time.Hour

// KeyringState is what an operator may know of the keyring.
type KeyringState struct {
	// SealedBy is the URI of the key that holds it, or "admin key".
	SealedBy string
	// Keys are the keys, the primary first.
	Keys []KeyInfo
	// RotatedAt is zero before the first rotation, RetiresAt when only the primary
	// key is left.
	RotatedAt, RetiresAt time.Time
}

// KeyringState returns it as the database has it.
func (s *Store) KeyringState(ctx context.Context) (KeyringState, error) {
	k := s.cfg.Keyring
	if err := k.Refresh(ctx); err != nil {
		return KeyringState{}, unavailable("reading the keyring", err)
	}
	out := KeyringState{Keys: k.state.Load().infos()}
	var rotated, retires *time.Time
	err := s.cfg.Pool.QueryRow(ctx, keyringState, k.cfg.seals().key()).Scan(&out.SealedBy, &rotated, &retires)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return KeyringState{}, unavailable("reading the keyring", err)
	}
	out.RotatedAt, out.RetiresAt = dbtime.From(rotated), dbtime.From(retires)
	return out, nil
}

// RotateKeyring makes a new primary key and seals every setting anew by it, in
// one transaction: whoever reads the rows reads the keyring first, so no hub
// ever meets a row that it cannot open. Former keys open stored answers until
// those have expired, and then go. Keyrings that other admin keys share are
// deleted: they could open nothing.
func (s *Store) RotateKeyring(ctx context.Context, actor string) (KeyringState, error) {
	err := s.exchange(ctx, actor, tenant.KeyringRotated, func(now time.Time, k *keys) (next *keys, retires *time.Time, err error) {
		at := now.Add(formerKeys)
		next, err = k.rotated()
		return next, &at, err
	})
	if err != nil {
		return KeyringState{}, err
	}
	return s.KeyringState(ctx)
}

// retireKeys lets former keys go when their time has come. Of several hubs one
// does.
func (s *Store) retireKeys(ctx context.Context) error {
	due := func() bool {
		at := s.cfg.Keyring.retires.Load()
		return at != nil && !s.cfg.Clock().Before(*at)
	}
	if !due() {
		return nil
	}
	return s.exchange(ctx, "hub", tenant.KeyringRetired, func(_ time.Time, k *keys) (*keys, *time.Time, error) {
		if !due() {
			return nil, nil, nil // another hub did
		}
		next, err := k.retired()
		return next, nil, err
	})
}

// exchange puts another keyring into the place of the present one. make is
// called with the newest; nil changes nothing.
func (s *Store) exchange(ctx context.Context, actor string, action tenant.Action, make func(time.Time, *keys) (*keys, *time.Time, error)) error {
	k := s.cfg.Keyring
	if k.cfg.Pool == nil {
		return errors.New("exchanging the keyring: it is shared with no database")
	}
	var next *keys
	err := s.revise(ctx, func(tx pgx.Tx, revision int64, before *settings.Snapshot) (settings.Changes, error) {
		if err := k.follow(ctx, tx); err != nil { // another hub may have rotated at this revision
			return settings.Changes{}, err
		}
		now, former := s.cfg.Clock(), k.state.Load()
		var retires *time.Time
		var err error
		if next, retires, err = make(now, former); err != nil || next == nil {
			return settings.Changes{}, err
		}
		if err := s.publish(ctx, tx, next, now, retires); err != nil {
			return settings.Changes{}, err
		}
		changes := before.Everything()
		if org, ok := before.FirstOrg(); ok {
			changes.Facts = []settings.Fact{{Org: org.ID, Subject: org.ID, Actor: actor, Source: "api", Payload: tenant.OrgChanged{Change: tenant.Change{
				Action: action, ID: org.ID, Actor: actor, Reason: fmt.Sprintf("secrets at rest are sealed by key %d", next.primary()),
			}}}}
		}
		if err := s.write(ctx, tx, revision, changes, next); err != nil {
			return changes, err
		}
		return changes, s.sealReplaysAnew(ctx, tx, former, next)
	})
	if err != nil || next == nil {
		return err
	}
	k.moving.Lock()
	defer k.moving.Unlock()
	k.moved(ctx, next)
	return nil
}

// sealReplaysAnew reaches what is sealed beside the settings. The former keys
// open it, also when they retire: a hub that had not heard of the rotation yet
// may have used one since. What they do not open was lost before, and must not
// keep the keys from being exchanged.
func (s *Store) sealReplaysAnew(ctx context.Context, tx pgx.Tx, former, next *keys) error {
	rows, err := tx.Query(ctx, sealedReplays)
	if err != nil {
		return err
	}
	type row struct {
		ID, Org string
		Sealed  []byte
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[row])
	if err != nil {
		return err
	}
	for _, r := range all {
		about := dispatch.SealedAs(r.Org, r.ID)
		text, err := former.open(r.Sealed, about)
		if err != nil {
			s.cfg.Log.WarnContext(ctx, "the secret of a replay's receiver is lost", slog.String("replay", r.ID), slog.Any("err", err))
			continue
		}
		sealed, err := next.seal(text, about)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, sealReplay, r.ID, sealed); err != nil {
			return err
		}
	}
	return nil
}

// publish writes a keyring for the other hubs.
func (s *Store) publish(ctx context.Context, tx pgx.Tx, next *keys, now time.Time, retires *time.Time) error {
	k := s.cfg.Keyring
	own := k.cfg.seals().key()
	if _, err := tx.Exec(ctx, deleteOtherKeyrings, own); err != nil {
		return err
	}
	if err := k.share(ctx, tx, next); err != nil {
		return err
	}
	if retires == nil {
		_, err := tx.Exec(ctx, noteRetirement, own)
		k.retires.Store(nil)
		return err
	}
	_, err := tx.Exec(ctx, noteRotation, own, now, *retires)
	k.retires.Store(retires)
	return err
}

// retire is retireKeys for the loop that follows settings.
func (s *Store) retire(ctx context.Context) {
	if err := s.retireKeys(ctx); err != nil && ctx.Err() == nil {
		s.cfg.Log.WarnContext(ctx, "former keys of the keyring stay for now", slog.Any("err", err))
	}
}
