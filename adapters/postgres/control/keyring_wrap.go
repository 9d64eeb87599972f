package control

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
)

// KMS is a key that a key management service holds.
type KMS interface {
	// URI names the key; it is no secret.
	URI() string
	// Seal encrypts a text and Open decrypts it, for one purpose.
	Seal(text []byte, about string) ([]byte, error)
	Open(sealed []byte, about string) ([]byte, error)
}

// wrapper seals a whole keyring, for the database and for the file.
type wrapper interface {
	// name is what people call it; key is what its row in the database is found by.
	name() string
	key() []byte
	seal(text []byte) ([]byte, error)
	open(sealed []byte) ([]byte, error)
}

const (
	saltBytes = 16
	// kdfRounds is OWASP's figure for PBKDF2 with SHA-256: an admin key may be a
	// word that a person chose.
	kdfRounds = 600_000
	wrapAbout = "trunkline keyring"
	// byAdminKeyName is what a keyring's row says of the admin key.
	byAdminKeyName = "admin key"
)

// byAdminKey seals by the first org's admin key, which all hubs of one
// installation are started with.
type byAdminKey struct{ adminKey string }

func (byAdminKey) name() string { return byAdminKeyName }

func (b byAdminKey) key() []byte {
	sum := sha256.Sum256([]byte(b.adminKey))
	return sum[:]
}

func (b byAdminKey) cipher(salt []byte) (cipher.AEAD, error) {
	key, err := pbkdf2.Key(sha256.New, b.adminKey, salt, kdfRounds, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// seal writes salt, nonce, ciphertext.
func (b byAdminKey) seal(text []byte) ([]byte, error) {
	salt := make([]byte, saltBytes)
	if _, err := rand.Read(salt); err != nil {
		return nil, err
	}
	c, err := b.cipher(salt)
	if err != nil {
		return nil, err
	}
	return c.Seal(salt, nil, text, []byte(wrapAbout)), nil
}

func (b byAdminKey) open(sealed []byte) ([]byte, error) {
	if len(sealed) < saltBytes {
		return nil, fmt.Errorf("%w: the keyring in the database is cut short", errContent)
	}
	c, err := b.cipher(sealed[:saltBytes])
	if err != nil {
		return nil, err
	}
	text, err := c.Open(nil, nil, sealed[saltBytes:], []byte(wrapAbout))
	if err != nil {
		return nil, fmt.Errorf("%w: the keyring in the database: %w", errContent, err)
	}
	return text, nil
}

// byKMS seals by a key of a service.
type byKMS struct{ kms KMS }

func (b byKMS) name() string { return b.kms.URI() }

func (b byKMS) key() []byte {
	sum := sha256.Sum256([]byte("kms " + b.kms.URI()))
	return sum[:]
}

func (b byKMS) seal(text []byte) ([]byte, error) {
	sealed, err := b.kms.Seal(text, wrapAbout)
	return sealed, b.err(err)
}

func (b byKMS) open(sealed []byte) ([]byte, error) {
	text, err := b.kms.Open(sealed, wrapAbout)
	return text, b.err(err)
}

// err marks what the service says, so that a caller can wait for one that is
// away.
func (b byKMS) err(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrKMS, err)
}

// ErrKMS says that the key management service did not do what it was asked;
// its own error tells whether waiting helps.
var ErrKMS = errors.New("the key management service")
