package control

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// Keyring seals what Postgres must not show: signing secrets, secrets of orgs,
// stored answers. It is a Tink keyset: its primary key seals, all open. When a
// hub rotates it, the others follow by the database. It is safe for concurrent
// use.
type Keyring struct {
	cfg   KeyringConfig
	state atomic.Pointer[keys]

	// moving is held while the keyring of this process is exchanged.
	moving sync.Mutex
	// retires is when keys that are no longer primary go, from the database.
	retires atomic.Pointer[time.Time]
}

// keys are a keyset, ready for use. They never change.
type keys struct {
	aead   tink.AEAD
	handle *keyset.Handle
	text   []byte // the keyset in the clear
}

// KeyInfo is one key of a keyring, without the key.
type KeyInfo struct {
	ID      uint32
	Primary bool
}

// OpenKeyring reads the keyset of a file and makes it (mode 0600) when there is
// none: the keyring of a hub that shares its database with nobody. See
// JoinKeyring.
func OpenKeyring(path string) (*Keyring, error) {
	k := &Keyring{cfg: KeyringConfig{Path: path}}
	found, err := k.readFile()
	if err == nil && found == nil {
		if found, err = newKeys(); err == nil {
			found, err = k.createFile(found)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("opening the keyring: %w", err)
	}
	k.state.Store(found)
	return k, nil
}

func readKeys(text []byte) (*keys, error) {
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(text)))
	if err != nil {
		return nil, fmt.Errorf("%w: no keyset: %w", errContent, err)
	}
	return newKeysOf(handle)
}

func newKeysOf(handle *keyset.Handle) (*keys, error) {
	a, err := aead.New(handle)
	if err != nil {
		return nil, fmt.Errorf("%w: no keyset for sealing: %w", errContent, err)
	}
	var text bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&text)); err != nil {
		return nil, err
	}
	return &keys{aead: a, handle: handle, text: text.Bytes()}, nil
}

func newKeys() (*keys, error) {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, err
	}
	return newKeysOf(handle)
}

// rotated is the keyset with a new primary key before the others.
func (k *keys) rotated() (*keys, error) {
	m := keyset.NewManagerFromHandle(k.handle)
	id, err := m.Add(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, err
	}
	if err := m.SetPrimary(id); err != nil {
		return nil, err
	}
	handle, err := m.Handle()
	if err != nil {
		return nil, err
	}
	return newKeysOf(handle)
}

// retired is the keyset with its primary key alone.
func (k *keys) retired() (*keys, error) {
	m := keyset.NewManagerFromHandle(k.handle)
	for _, i := range k.infos() {
		if i.Primary {
			continue
		}
		if err := m.Delete(i.ID); err != nil {
			return nil, err
		}
	}
	handle, err := m.Handle()
	if err != nil {
		return nil, err
	}
	return newKeysOf(handle)
}

// infos are the keys, the primary first.
func (k *keys) infos() []KeyInfo {
	info := k.handle.KeysetInfo()
	var all []KeyInfo
	for _, i := range info.GetKeyInfo() {
		all = append(all, KeyInfo{ID: i.GetKeyId(), Primary: i.GetKeyId() == info.GetPrimaryKeyId()})
	}
	slices.SortStableFunc(all, func(a, b KeyInfo) int {
		switch {
		case a.Primary:
			return -1
		case b.Primary:
			return 1
		}
		return 0
	})
	return all
}

func (k *keys) primary() uint32 { return k.handle.KeysetInfo().GetPrimaryKeyId() }

// fingerprint names a keyset. Tink's JSON is not canonical, so it is of what
// the keys are called: their ids are random, and the primary is one of them.
func (k *keys) fingerprint() [32]byte {
	h := sha256.New()
	for _, i := range k.infos() {
		fmt.Fprintf(h, "%d %v\n", i.ID, i.Primary)
	}
	return [32]byte(h.Sum(nil))
}

// descends reports whether one keyset has a key of the other: the same ring,
// before or after a rotation.
func (k *keys) descends(other *keys) bool {
	return slices.ContainsFunc(k.infos(), func(a KeyInfo) bool {
		return slices.ContainsFunc(other.infos(), func(b KeyInfo) bool { return a.ID == b.ID })
	})
}

// errContent says that what is written cannot be read, or that something cannot
// be written: trying again does not help.
var errContent = errors.New("unreadable content")

// seal encrypts a text. about names what it belongs to; it opens only there, so
// that nobody with access to the tables can move a secret to another row.
func (k *Keyring) seal(text []byte, about string) ([]byte, error) {
	return k.state.Load().seal(text, about)
}

// open decrypts what seal made.
func (k *Keyring) open(sealed []byte, about string) ([]byte, error) {
	return k.state.Load().open(sealed, about)
}

func (k *keys) seal(text []byte, about string) ([]byte, error) {
	out, err := k.aead.Encrypt(text, []byte(about))
	if err != nil {
		return nil, fmt.Errorf("sealing %s: %w: %w", about, errContent, err)
	}
	return out, nil
}

func (k *keys) open(sealed []byte, about string) ([]byte, error) {
	out, err := k.aead.Decrypt(sealed, []byte(about))
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w: secrets.key is not the file that sealed it, or the row was changed: %w", about, errContent, err)
	}
	return out, nil
}
