package kms

import (
	"context"
	"encoding/base64"
	"errors"
	"hash/crc32"
	"net/http"
	"regexp"
	"strings"

	"github.com/tink-crypto/tink-go/v2/tink"
	"google.golang.org/api/cloudkms/v1"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"
)

const gcpScheme = "gcp-kms://"

var gcpKey = regexp.MustCompile(`^gcp-kms://projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$`)

func checkGCP(uri string) bool { return gcpKey.MatchString(uri) }

func openGCP(ctx context.Context, uri string) (tink.AEAD, error) { return openGCPWith(ctx, uri) }

func openGCPWith(ctx context.Context, uri string, opts ...option.ClientOption) (tink.AEAD, error) {
	service, err := cloudkms.NewService(ctx, opts...)
	if err != nil {
		return nil, err
	}
	return gcpAEAD{name: strings.TrimPrefix(uri, gcpScheme), keys: service.Projects.Locations.KeyRings.CryptoKeys}, nil
}

// gcpAEAD is a key of Google Cloud KMS. Both sides sum what they send, because
// what is damaged on the way would be sealed, or opened, as it is.
type gcpAEAD struct {
	name string
	keys *cloudkms.ProjectsLocationsKeyRingsCryptoKeysService
}

var errDamaged = errors.New("what was sent to Google Cloud KMS, or what it answered, was damaged on the way")

// Encrypt implements tink.AEAD.
func (g gcpAEAD) Encrypt(text, about []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout) // Tink's interface has none
	defer cancel()
	answer, err := g.keys.Encrypt(g.name, &cloudkms.EncryptRequest{
		Plaintext: base64.StdEncoding.EncodeToString(text), PlaintextCrc32c: checksum(text),
		AdditionalAuthenticatedData: base64.StdEncoding.EncodeToString(about), AdditionalAuthenticatedDataCrc32c: checksum(about),
		ForceSendFields: []string{"PlaintextCrc32c", "AdditionalAuthenticatedDataCrc32c"},
	}).Context(ctx).Do()
	if err != nil {
		return nil, err
	}
	sealed, err := base64.StdEncoding.DecodeString(answer.Ciphertext)
	if err != nil || !answer.VerifiedPlaintextCrc32c || !answer.VerifiedAdditionalAuthenticatedDataCrc32c || answer.CiphertextCrc32c != checksum(sealed) {
		return nil, errDamaged
	}
	return sealed, nil
}

// Decrypt implements tink.AEAD.
func (g gcpAEAD) Decrypt(sealed, about []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	answer, err := g.keys.Decrypt(g.name, &cloudkms.DecryptRequest{
		Ciphertext: base64.StdEncoding.EncodeToString(sealed), CiphertextCrc32c: checksum(sealed),
		AdditionalAuthenticatedData: base64.StdEncoding.EncodeToString(about), AdditionalAuthenticatedDataCrc32c: checksum(about),
		ForceSendFields: []string{"CiphertextCrc32c", "AdditionalAuthenticatedDataCrc32c"},
	}).Context(ctx).Do()
	if err != nil {
		return nil, err
	}
	text, err := base64.StdEncoding.DecodeString(answer.Plaintext)
	if err != nil || answer.PlaintextCrc32c != checksum(text) {
		return nil, errDamaged
	}
	return text, nil
}

func checksum(b []byte) int64 { return int64(crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))) }

func refusedByGCP(err error) bool {
	api, ok := errors.AsType[*googleapi.Error](err)
	return ok && refusedBy(api.Code)
}

// refusedBy reports whether an HTTP status says no rather than not now.
func refusedBy(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	}
	return status >= 400 && status < 500
}
