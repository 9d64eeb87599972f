// Package kms seals small secrets by a key that a key management service
// holds: AWS KMS, Google Cloud KMS, or the transit engine of HashiCorp Vault
// and OpenBao. It never sees that key, and the service never sees what is
// sealed: each sealing draws a data key, seals the text by it, and lets the
// service encrypt the data key (Tink's envelope).
//
// It reads no setting of its own but the URI of the key. Credentials, proxies
// and endpoints are where each vendor's programs expect them: AWS_*,
// GOOGLE_APPLICATION_CREDENTIALS, VAULT_*.
package kms

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// ErrRefused says that the service answered and will not: an unknown key, no
// permission, a ciphertext that it did not make. Waiting does not mend it.
var ErrRefused = errors.New("the key management service refuses")

// timeout bounds one request.
const timeout = 10 * time.Second

// vendor is one kind of service.
type vendor struct {
	scheme, form string
	check        func(uri string) bool
	// open returns the key; it makes no request.
	open func(ctx context.Context, uri string) (tink.AEAD, error)
	// refused tells an answer that says no from one that never came.
	refused func(error) bool
}

func vendors() []vendor {
	return []vendor{
		{scheme: "aws-kms://", form: "aws-kms://arn:aws:kms:<region>:<account>:key/<id>", check: checkAWS, open: openAWS, refused: refusedByAWS},
		{
			scheme: gcpScheme, form: "gcp-kms://projects/<project>/locations/<location>/keyRings/<ring>/cryptoKeys/<key>",
			check: checkGCP, open: openGCP, refused: refusedByGCP,
		},
		{scheme: "hcvault://", form: "hcvault://[host:port]/<mount>/keys/<name>", check: checkVault, open: openVault, refused: refusedByVault},
	}
}

func vendorOf(uri string) (vendor, error) {
	var forms []string
	for _, v := range vendors() {
		if !strings.HasPrefix(uri, v.scheme) {
			forms = append(forms, v.form)
			continue
		}
		if !v.check(uri) {
			return vendor{}, fmt.Errorf("expected %s", v.form) // the URI is not repeated: somebody may have put a token into it
		}
		return v, nil
	}
	return vendor{}, fmt.Errorf("expected %s", strings.Join(forms, " or "))
}

// Check says in words why a URI names no key, or nil.
func Check(uri string) error {
	_, err := vendorOf(uri)
	return err
}

// Key is a key of a service. It is safe for concurrent use.
type Key struct {
	uri  string
	aead tink.AEAD
}

func newKey(uri string, r remote) *Key {
	return &Key{uri: uri, aead: aead.NewKMSEnvelopeAEAD2(aead.AES256GCMKeyTemplate(), r)}
}

// Open returns the key that a URI names. It makes no request.
func Open(ctx context.Context, uri string) (*Key, error) {
	v, err := vendorOf(uri)
	if err != nil {
		return nil, err
	}
	held, err := v.open(ctx, uri)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", uri, oneLine(err))
	}
	return newKey(uri, remote{held, v.refused}), nil
}

// URI names the key. It is no secret.
func (k *Key) URI() string { return k.uri }

// Seal encrypts a text, to be opened for the same purpose only.
func (k *Key) Seal(text []byte, about string) ([]byte, error) {
	sealed, err := k.aead.Encrypt(text, []byte(about))
	if err != nil {
		return nil, k.said("sealing", err)
	}
	return sealed, nil
}

// Open decrypts what Seal made.
func (k *Key) Open(sealed []byte, about string) ([]byte, error) {
	text, err := k.aead.Decrypt(sealed, []byte(about))
	if err != nil {
		return nil, k.said("opening", err)
	}
	return text, nil
}

func (k *Key) said(doing string, err error) error {
	// What is not the service's answer is the envelope's: it is broken, or was
	// made for another purpose.
	if answer, ok := errors.AsType[*remoteError](err); ok && !answer.refused {
		return fmt.Errorf("%s by %s: %w", doing, k.uri, oneLine(err))
	}
	return fmt.Errorf("%s by %s: %w: %w", doing, k.uri, ErrRefused, oneLine(err))
}

// remote marks what comes from the service.
type remote struct {
	aead    tink.AEAD
	refused func(error) bool
}

func (r remote) Encrypt(text, about []byte) ([]byte, error) {
	out, err := r.aead.Encrypt(text, about)
	return out, r.mark(err)
}

func (r remote) Decrypt(sealed, about []byte) ([]byte, error) {
	out, err := r.aead.Decrypt(sealed, about)
	return out, r.mark(err)
}

func (r remote) mark(err error) error {
	if err == nil {
		return nil
	}
	return &remoteError{err, r.refused(err)}
}

type remoteError struct {
	error
	refused bool
}

func (e *remoteError) Unwrap() error { return e.error }

// oneLine is an error in one line: what stops a start is read in a log.
func oneLine(err error) error {
	text := strings.Join(strings.Fields(err.Error()), " ")
	if text == err.Error() {
		return err
	}
	return said{text, err}
}

// said is an error in other words.
type said struct {
	text string
	err  error
}

func (s said) Error() string { return s.text }
func (s said) Unwrap() error { return s.err }
