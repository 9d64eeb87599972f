package httpapi

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"trunkline.dev/trunkline/commands/settings"
)

// Keyring is what secrets at rest are sealed with.
type Keyring interface {
	// State returns it as it is now.
	State(ctx context.Context) (KeyringState, error)
	// Rotate gives it a new primary key and seals every secret anew by it.
	Rotate(ctx context.Context, actor string) (KeyringState, error)
}

// KeyringState is what an operator may know of it.
type KeyringState struct {
	// SealedBy is what holds the key of the keyring: a URI, or "admin key".
	SealedBy string
	// Keys are the ids of its keys, the primary first.
	Keys []uint32
	// RotatedAt and RetiresAt are zero where there is no such time.
	RotatedAt, RetiresAt time.Time
}

type keyringAnswer struct {
	SealedBy string `json:"sealed_by"`
	// PrimaryKey seals; FormerKeys only open, until RetiresAt.
	PrimaryKey string     `json:"primary_key"`
	FormerKeys []string   `json:"former_keys"`
	RotatedAt  *time.Time `json:"rotated_at"`
	RetiresAt  *time.Time `json:"retires_at"`
}

// keyring is GET /v1/keyring.
func (s *Server) keyring(w http.ResponseWriter, r *http.Request, p Principal) error {
	if err := s.query(r, p).err(); err != nil {
		return err
	}
	return s.withKeyring(w, p, func(k Keyring) (KeyringState, error) { return k.State(r.Context()) })
}

// rotateKeyring is POST /v1/keyring/rotate.
func (s *Server) rotateKeyring(w http.ResponseWriter, r *http.Request, p Principal) error {
	if err := decodeOptional(r, &struct{}{}); err != nil {
		return err
	}
	return s.withKeyring(w, p, func(k Keyring) (KeyringState, error) { return k.Rotate(r.Context(), s.caller(r, p).Actor) })
}

// withKeyring answers with what the keyring is. It is the installation's, so
// only the first org sees it.
func (s *Server) withKeyring(w http.ResponseWriter, p Principal, ask func(Keyring) (KeyringState, error)) error {
	if !p.Org.First {
		return problem(http.StatusForbidden, "forbidden", "only the admin key of the hub's first org sees to the keyring")
	}
	if s.cfg.Settings.Keyring == nil {
		return notServed("keyrings")
	}
	k, err := ask(s.cfg.Settings.Keyring)
	if errors.Is(err, settings.ErrUnavailable) {
		p := problem(http.StatusServiceUnavailable, "unavailable", "the keyring cannot be read or exchanged now, nothing was changed; send the same request again")
		p.cause = err
		return p.with("Retry-After", seconds(retryLater))
	}
	if err != nil {
		return err
	}
	a := keyringAnswer{SealedBy: k.SealedBy, FormerKeys: []string{}, RotatedAt: knownTime(k.RotatedAt), RetiresAt: knownTime(k.RetiresAt)}
	for i, id := range k.Keys {
		text := strconv.FormatUint(uint64(id), 10)
		if i == 0 {
			a.PrimaryKey = text
			continue
		}
		a.FormerKeys = append(a.FormerKeys, text)
	}
	return respond(w, http.StatusOK, a)
}
