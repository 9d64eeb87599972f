package control

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"trunkline.dev/trunkline/adapters/internal/durable"
)

// sealedFile is secrets.key where a KMS holds the key: the keyset sealed by it.
// Without one the file is the keyset itself.
type sealedFile struct {
	SealedBy string `json:"sealed_by"`
	Keyset   []byte `json:"sealed_keyset"`
}

// readFile returns the keyring of the file, nil when there is no file.
func (k *Keyring) readFile() (*keys, error) {
	text, err := os.ReadFile(k.cfg.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var sealed sealedFile
	if err := json.Unmarshal(text, &sealed); err == nil && sealed.SealedBy != "" {
		w := k.cfg.by(sealed.SealedBy)
		if w == nil {
			return nil, fmt.Errorf("%w: %s is sealed by %s: name it in TRUNKLINE_SECRETS_KMS", ErrNoKeyring, k.cfg.Path, sealed.SealedBy)
		}
		if text, err = w.open(sealed.Keyset); err != nil {
			return nil, err
		}
	}
	found, err := readKeys(text)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", k.cfg.Path, err)
	}
	return found, nil
}

// fileText is a keyring as the file has it.
func (k *Keyring) fileText(of *keys) ([]byte, error) {
	w := k.cfg.kms()
	if w == nil {
		return of.text, nil
	}
	sealed, err := w.seal(of.text)
	if err != nil {
		return nil, err
	}
	return json.Marshal(sealedFile{SealedBy: w.name(), Keyset: sealed})
}

// createFile writes the file if there is none and returns the keyring that it
// has then: of two hubs that start at once in one folder one wins.
func (k *Keyring) createFile(of *keys) (*keys, error) {
	text, err := k.fileText(of)
	if err != nil {
		return nil, err
	}
	err = durable.Write(k.cfg.Path, text, os.Link)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return k.readFile()
}

// replaceFile makes the file what the keyring is. A file with a keyring of
// another kind is set aside first: it may be the only one of another database.
func (k *Keyring) replaceFile(of *keys) error {
	text, err := k.fileText(of)
	if err != nil {
		return err
	}
	if had, err := k.readFile(); err != nil || had != nil && !had.descends(of) {
		aside := k.cfg.Path + ".unknown"
		if had != nil {
			mark := had.fingerprint()
			aside = k.cfg.Path + "." + hex.EncodeToString(mark[:4])
		}
		if err := os.Rename(k.cfg.Path, aside); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return durable.Write(k.cfg.Path, text, os.Rename)
}

// fileIs reports whether the file is sealed as it should be.
func (k *Keyring) fileIs(by wrapper) bool {
	text, err := os.ReadFile(k.cfg.Path)
	if err != nil {
		return false
	}
	var sealed sealedFile
	if err := json.Unmarshal(text, &sealed); err != nil {
		return false
	}
	if k.cfg.kms() == nil {
		return sealed.SealedBy == ""
	}
	return sealed.SealedBy == by.name()
}
