package kms

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/hashicorp/vault/api"
	"github.com/tink-crypto/tink-go-hcvault/v2/integration/hcvault"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// checkVault wants a mount and a key. Without a host the server is that of
// VAULT_ADDR, which may be an agent of this machine.
func checkVault(uri string) bool {
	u, err := url.Parse(uri)
	if err != nil || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return false
	}
	parts := strings.Split(strings.TrimPrefix(u.Path, "/"), "/")
	n := len(parts)
	return n >= 3 && parts[n-2] == "keys" && !strings.Contains(u.Path, "//") && parts[n-1] != ""
}

func openVault(_ context.Context, uri string) (tink.AEAD, error) {
	u, err := url.Parse(uri)
	if err != nil {
		return nil, err
	}
	cfg := api.DefaultConfig()
	if cfg.Error != nil {
		return nil, cfg.Error
	}
	cfg.MaxRetries = 0 // whoever calls tries again, and says so
	if os.Getenv(api.EnvVaultClientTimeout) == "" {
		cfg.Timeout = timeout
	}
	if u.Host != "" {
		cfg.Address = "https://" + u.Host
	}
	client, err := api.NewClient(cfg)
	if err != nil {
		return nil, err
	}
	held, err := hcvault.NewClientWithAEADOptions(uri, client.Logical())
	if err != nil {
		return nil, err
	}
	return held.GetAEAD(uri)
}

func refusedByVault(err error) bool {
	answer, ok := errors.AsType[*api.ResponseError](err)
	// 412: a standby that has not caught up; 472 and 473 are health states.
	return ok && refusedBy(answer.StatusCode) && answer.StatusCode != http.StatusPreconditionFailed && answer.StatusCode < 470
}
