package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// secretsCommand sees to what seals the secrets at rest.
type secretsCommand struct {
	Status    secretsStatus    `cmd:"" help:"Show what the secrets at rest are sealed with."`
	RotateKey secretsRotateKey `cmd:"" help:"Give the keyring a new key and seal every secret anew by it."`
}

// keyringAnswer is the keyring in the API's words.
type keyringAnswer struct {
	SealedBy   string     `json:"sealed_by"`
	PrimaryKey string     `json:"primary_key"`
	FormerKeys []string   `json:"former_keys"`
	RotatedAt  *time.Time `json:"rotated_at"`
	RetiresAt  *time.Time `json:"retires_at"`
}

func (k keyringAnswer) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "sealed by    %s\nprimary key  %s", k.SealedBy, k.PrimaryKey)
	if k.RotatedAt != nil {
		fmt.Fprintf(&b, ", since %s", k.RotatedAt.Format(time.RFC3339))
	}
	b.WriteByte('\n')
	if len(k.FormerKeys) > 0 && k.RetiresAt != nil {
		fmt.Fprintf(&b, "former keys  %s, until %s\n", strings.Join(k.FormerKeys, ", "), k.RetiresAt.Format(time.RFC3339))
	}
	return b.String()
}

type secretsStatus struct {
	JSON bool `name:"json" help:"Print the API's answer."`
}

// Run prints the state of the keyring.
func (c secretsStatus) Run(ctx context.Context, s streams) error {
	return keyringCall(ctx, s, http.MethodGet, "/v1/keyring", c.JSON)
}

type secretsRotateKey struct {
	JSON bool `name:"json" help:"Print the API's answer."`
}

// Run rotates the keyring of a running hub; the others follow.
func (c secretsRotateKey) Run(ctx context.Context, s streams) error {
	return keyringCall(ctx, s, http.MethodPost, "/v1/keyring/rotate", c.JSON)
}

func keyringCall(ctx context.Context, s streams, method, path string, asJSON bool) error {
	var answer keyringAnswer
	return show(ctx, s, question{method: method, path: path, json: asJSON}, &answer, func() error {
		_, err := fmt.Fprint(s.out, answer)
		return err
	})
}
