package tenant

// Action says what was done to a setting. It is part of the public contract of
// the admin topic.
type Action string

// The actions. SecretRead is no change at all, yet an auditor asks for it.
const (
	Created       Action = "created"
	Updated       Action = "updated"
	Deleted       Action = "deleted"
	Enabled       Action = "enabled"
	Disabled      Action = "disabled"
	SecretRotated Action = "secret_rotated"
	SecretRead    Action = "secret_read"
	// SigningKeyRotated: an endpoint has a new key pair.
	SigningKeyRotated Action = "signing_key_rotated"
	// KeyringRotated and KeyringRetired, of the first org: what seals all secrets
	// at rest has a new key, and the former ones are gone.
	KeyringRotated Action = "keyring_rotated"
	KeyringRetired Action = "keyring_retired"
)

// Change is what every event of the admin topic says first.
type Change struct {
	Action Action `json:"action"`
	// ID is the id of the setting that was changed, the subject of the envelope.
	ID string `json:"id"`
	// Actor is who did it: "key/<id>", or "hub" when the hub did.
	Actor string `json:"actor"`
	// Reason is why, where somebody or the hub said so.
	Reason string `json:"reason,omitempty"`
}
