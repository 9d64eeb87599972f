package kms

import (
	"context"
	"errors"
	"net/http"
	"regexp"

	"github.com/tink-crypto/tink-go-gcpkms/v2/integration/gcpkms"
	"github.com/tink-crypto/tink-go/v2/core/registry"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"
)

var gcpKey = regexp.MustCompile(`^gcp-kms://projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$`)

func checkGCP(uri string) bool { return gcpKey.MatchString(uri) }

func openGCP(ctx context.Context, uri string) (registry.KMSClient, error) {
	return openGCPWith(ctx, uri)
}

// openGCPWith speaks REST: one key is asked for once in a process's life, which
// needs no gRPC connection.
func openGCPWith(ctx context.Context, uri string, opts ...option.ClientOption) (registry.KMSClient, error) {
	return gcpkms.NewClient(ctx, uri, gcpkms.WithTransport(gcpkms.TransportREST), gcpkms.WithGoogleAPIClientOptions(opts...))
}

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
