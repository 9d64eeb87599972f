package control

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// Keyring seals what Postgres must not show: signing secrets, secrets of orgs,
// stored answers. It is a Tink keyset, so keys can be rotated by adding one:
// the newest seals, all open. It is safe for concurrent use.
type Keyring struct {
	aead tink.AEAD
	text []byte // the keyset, as the file has it
}

// OpenKeyring reads the keyset of a file and makes it (mode 0600) when there is
// none. Hubs that share a database must have the same: see JoinKeyring. Without
// it the secrets in the database are lost: it belongs into the backup, apart
// from the dumps.
func OpenKeyring(path string) (*Keyring, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if text, err = newKeyset(); err == nil {
			text, err = writeOnce(path, text)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("opening the keyring: %w", err)
	}
	return readKeyring(path, text)
}

func readKeyring(path string, text []byte) (*Keyring, error) {
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(text)))
	if err != nil {
		return nil, fmt.Errorf("reading the keyring %s: %w", path, err)
	}
	a, err := aead.New(handle)
	if err != nil {
		return nil, fmt.Errorf("reading the keyring %s: %w", path, err)
	}
	return &Keyring{aead: a, text: text}, nil
}

func newKeyset() ([]byte, error) {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&text)); err != nil {
		return nil, err
	}
	return text.Bytes(), nil
}

// writeOnce writes a keyset under another name and links it into place, so
// that of two hubs that start at once one wins and the other reads its file.
func writeOnce(path string, text []byte) ([]byte, error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".secrets-*") // mode 0600
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.Write(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, err
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return os.ReadFile(path)
}

// errContent says that what is written cannot be read, or that something cannot
// be written: trying again does not help.
var errContent = errors.New("unreadable content")

// seal encrypts a text. about names what it belongs to; it opens only there, so
// that nobody with access to the tables can move a secret to another row.
func (k *Keyring) seal(text []byte, about string) ([]byte, error) {
	out, err := k.aead.Encrypt(text, []byte(about))
	if err != nil {
		return nil, fmt.Errorf("sealing %s: %w: %w", about, errContent, err)
	}
	return out, nil
}

// open decrypts what seal made.
func (k *Keyring) open(sealed []byte, about string) ([]byte, error) {
	out, err := k.aead.Decrypt(sealed, []byte(about))
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w: secrets.key is not the file that sealed it, or the row was changed: %w", about, errContent, err)
	}
	return out, nil
}
