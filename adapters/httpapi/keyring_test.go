package httpapi_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/adapters/httpapi"
	"trunkline.dev/trunkline/commands/settings"
)

// ring is a keyring that counts.
type ring struct {
	keys  []uint32
	actor string
	fail  error
}

func (r *ring) State(context.Context) (httpapi.KeyringState, error) {
	s := httpapi.KeyringState{SealedBy: "hcvault:///transit/keys/k", Keys: r.keys}
	if len(r.keys) > 1 {
		s.RotatedAt, s.RetiresAt = noon, noon.Add(25*time.Hour)
	}
	return s, r.fail
}

func (r *ring) Rotate(ctx context.Context, actor string) (httpapi.KeyringState, error) {
	if r.fail != nil {
		return httpapi.KeyringState{}, r.fail
	}
	r.actor, r.keys = actor, append([]uint32{r.keys[0] + 1}, r.keys...)
	return r.State(ctx)
}

func TestKeyring(t *testing.T) {
	t.Parallel()
	r := &ring{keys: []uint32{4294967290}}
	o := newOffice(t, func(_ *office, cfg *httpapi.Config) { cfg.Settings.Keyring = r })
	want := map[string]any{"sealed_by": "hcvault:///transit/keys/k", "primary_key": "4294967290", "former_keys": []any{}, "rotated_at": nil, "retires_at": nil}
	if diff := cmp.Diff(want, o.made(200, "GET", "/v1/keyring", "")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	want = map[string]any{
		"sealed_by": "hcvault:///transit/keys/k", "primary_key": "4294967291", "former_keys": []any{"4294967290"},
		"rotated_at": "2026-05-14T12:00:00Z", "retires_at": "2026-05-15T13:00:00Z",
	}
	if diff := cmp.Diff(want, o.made(200, "POST", "/v1/keyring/rotate", "", "Idempotency-Key", "once")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	o.made(200, "POST", "/v1/keyring/rotate", "", "Idempotency-Key", "once")
	if len(r.keys) != 2 || r.actor == "" {
		t.Errorf("rotated to %d keys by %q", len(r.keys), r.actor)
	}
	other := o.newOrg("Other")
	o.refused(o.do("GET", "/v1/keyring", "", other...), 403)
	o.refused(o.do("POST", "/v1/keyring/rotate", "", other...), 403)
	reader := bearer(o.made(201, "POST", "/v1/api-keys", `{"name":"BI","scopes":["read"]}`)["api_key"])
	o.refused(o.do("GET", "/v1/keyring", "", reader...), 403)
	r.fail = fmt.Errorf("the service: %w", settings.ErrUnavailable)
	o.refused(o.do("POST", "/v1/keyring/rotate", ""), 503)
	o.refused(o.do("GET", "/v1/keyring", ""), 503)
	o.refused(newOffice(t, nil).do("GET", "/v1/keyring", ""), 404)
}
