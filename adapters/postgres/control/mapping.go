package control

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"trunkline.dev/trunkline/adapters/postgres/internal/dbtime"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/rule"
	"trunkline.dev/trunkline/domain/tenant"
)

// What is sealed in the rows.
type (
	orgSecrets struct {
		Secret      []byte `json:"secret"`
		SymboSecret string `json:"symbo_secret,omitempty"`
		ZapierKey   string `json:"zapier_key,omitempty"`
	}
	connectionSecrets struct {
		Secret string        `json:"secret"`
		Lookup tenant.Lookup `json:"lookup,omitzero"`
	}
	endpointSecrets struct {
		Secrets []delivery.Secret `json:"secrets"`
		Headers map[string]string `json:"headers,omitempty"`
		// SigningKeys are the private keys by the id of their pair.
		SigningKeys  map[string]string `json:"signing_keys,omitempty"`
		ConsentToken string            `json:"consent_token,omitempty"`
		// Credentials are those of a connector.
		Credentials map[string]string `json:"credentials,omitempty"`
	}
)

func about(kind, org, id string) string { return kind + "/" + org + "/" + id }

func (k *keys) sealJSON(v any, about string) ([]byte, error) {
	text, err := event.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("sealing %s: %w: %w", about, errContent, err)
	}
	return k.seal(text, about)
}

func (k *keys) openJSON(sealed []byte, about string, v any) error {
	text, err := k.open(sealed, about)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("opening %s: %w: %w", about, errContent, err)
	}
	return nil
}

func (k *keys) orgFromRow(row pgx.CollectableRow) (tenant.Org, error) {
	var o tenant.Org
	var sealed []byte
	if err := row.Scan(&o.ID, &o.Name, &o.First, &sealed, &o.CreatedAt); err != nil {
		return o, err
	}
	var s orgSecrets
	if err := k.openJSON(sealed, about("org", o.ID, o.ID), &s); err != nil {
		return o, err
	}
	o.Secret, o.SymboSecret, o.ZapierKey = s.Secret, s.SymboSecret, s.ZapierKey
	o.CreatedAt = o.CreatedAt.UTC()
	return o, nil
}

func (k *keys) orgToRow(o tenant.Org) ([]any, error) {
	sealed, err := k.sealJSON(orgSecrets{Secret: o.Secret, SymboSecret: o.SymboSecret, ZapierKey: o.ZapierKey}, about("org", o.ID, o.ID))
	return []any{o.ID, o.Name, o.First, sealed, o.CreatedAt}, err
}

func listFromRow(row pgx.CollectableRow) (tenant.List, error) {
	var l tenant.List
	err := row.Scan(&l.ID, &l.Org, &l.Name, &l.DefaultRegion, &l.WebhookURL, &l.RecordingRetentionDays, &l.CreatedAt, &l.UpdatedAt)
	l.CreatedAt, l.UpdatedAt = l.CreatedAt.UTC(), l.UpdatedAt.UTC()
	return l, err
}

func listToRow(l tenant.List) []any {
	return []any{l.ID, l.Org, l.Name, l.DefaultRegion, l.WebhookURL, l.RecordingRetentionDays, l.CreatedAt, l.UpdatedAt}
}

func formerListFromRow(row pgx.CollectableRow) (tenant.FormerList, error) {
	var l tenant.FormerList
	err := row.Scan(&l.ID, &l.Org, &l.RecordingRetentionDays, &l.DeletedAt)
	l.DeletedAt = l.DeletedAt.UTC()
	return l, err
}

func keyFromRow(row pgx.CollectableRow) (tenant.Key, error) {
	var k tenant.Key
	var list *string
	var scopes []string
	var hash []byte
	var expires *time.Time
	if err := row.Scan(&k.ID, &k.Org, &list, &k.Name, &scopes, &hash, &k.Prefix, &k.CreatedAt, &expires); err != nil {
		return k, err
	}
	if list != nil {
		k.ListID = *list
	}
	for _, s := range scopes {
		k.Scopes = append(k.Scopes, tenant.Scope(s))
	}
	copy(k.Hash[:], hash)
	k.CreatedAt, k.ExpiresAt = k.CreatedAt.UTC(), dbtime.From(expires)
	return k, nil
}

func keyToRow(k tenant.Key) []any {
	var list *string
	if k.ListID != "" {
		list = &k.ListID
	}
	scopes := make([]string, len(k.Scopes))
	for i, s := range k.Scopes {
		scopes[i] = string(s)
	}
	return []any{k.ID, k.Org, list, k.Name, scopes, k.Hash[:], k.Prefix, k.CreatedAt, dbtime.To(k.ExpiresAt)}
}

func (k *keys) connectionFromRow(row pgx.CollectableRow) (tenant.Connection, error) {
	var c tenant.Connection
	var sealed []byte
	if err := row.Scan(&c.ID, &c.Org, &c.Name, &c.Dialect, &c.ListID, &sealed, &c.CreatedAt); err != nil {
		return c, err
	}
	var s connectionSecrets
	if err := k.openJSON(sealed, about("connection", c.Org, c.ID), &s); err != nil {
		return c, err
	}
	c.Secret, c.Lookup, c.CreatedAt = s.Secret, s.Lookup, c.CreatedAt.UTC()
	return c, nil
}

func (k *keys) connectionToRow(c tenant.Connection) ([]any, error) {
	sealed, err := k.sealJSON(connectionSecrets{Secret: c.Secret, Lookup: c.Lookup}, about("connection", c.Org, c.ID))
	return []any{c.ID, c.Org, c.Name, c.Dialect, c.ListID, sealed, c.CreatedAt}, err
}

func (k *keys) endpointFromRow(row pgx.CollectableRow) (delivery.Endpoint, error) {
	var id, org string
	var settings, sealed []byte
	var e delivery.Endpoint
	if err := row.Scan(&id, &org, &settings, &sealed); err != nil {
		return e, err
	}
	if err := readSettings(settings, &e); err != nil {
		return e, fmt.Errorf("reading endpoint %s: %w", id, err)
	}
	e.ID, e.Org = id, org
	var s endpointSecrets
	if err := k.openJSON(sealed, about("endpoint", org, id), &s); err != nil {
		return e, err
	}
	e.Secrets, e.Headers, e.Credentials, e.Consent.Token = s.Secrets, s.Headers, s.Credentials, s.ConsentToken
	for i, key := range e.SigningKeys {
		e.SigningKeys[i].Private = s.SigningKeys[key.ID]
	}
	return e, nil
}

// readSettings reads an endpoint as it is kept. JSONB has its own idea of white
// space, so what is JSON inside is brought back to ours.
func readSettings(settings []byte, e *delivery.Endpoint) error {
	if err := json.Unmarshal(settings, e); err != nil {
		return fmt.Errorf("%w: %w", errContent, err)
	}
	if e.Config == nil {
		return nil
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, e.Config); err != nil {
		return fmt.Errorf("%w: %w", errContent, err)
	}
	e.Config = compact.Bytes()
	return nil
}

func (k *keys) endpointToRow(e delivery.Endpoint) ([]any, error) {
	settings, err := event.Marshal(e.Public())
	if err != nil {
		return nil, fmt.Errorf("encoding endpoint %s: %w: %w", e.ID, errContent, err)
	}
	secrets := endpointSecrets{Secrets: e.Secrets, Headers: e.Headers, Credentials: e.Credentials, ConsentToken: e.Consent.Token}
	for _, key := range e.SigningKeys {
		if secrets.SigningKeys == nil {
			secrets.SigningKeys = make(map[string]string, len(e.SigningKeys))
		}
		secrets.SigningKeys[key.ID] = key.Private
	}
	sealed, err := k.sealJSON(secrets, about("endpoint", e.Org, e.ID))
	return []any{e.ID, e.Org, e.Dialect, e.ListID, e.Enabled, settings, sealed, e.CreatedAt, e.UpdatedAt}, err
}

func ruleFromRow(row pgx.CollectableRow) (rule.Rule, error) {
	var id, org string
	var settings []byte
	var r rule.Rule
	if err := row.Scan(&id, &org, &settings); err != nil {
		return r, err
	}
	if err := json.Unmarshal(settings, &r); err != nil {
		return r, fmt.Errorf("reading alert rule %s: %w: %w", id, errContent, err)
	}
	r.ID, r.Org = id, org
	return r, nil
}

func ruleToRow(r rule.Rule) ([]any, error) {
	settings, err := event.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encoding alert rule %s: %w: %w", r.ID, errContent, err)
	}
	return []any{r.ID, r.Org, settings, r.CreatedAt, r.UpdatedAt}, nil
}
