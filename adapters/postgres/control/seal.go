package control

// Seal encrypts what another table of this database must not show. about names
// what it belongs to: it opens only there.
func (k *Keyring) Seal(text []byte, about string) ([]byte, error) { return k.seal(text, about) }

// Open decrypts what Seal made.
func (k *Keyring) Open(sealed []byte, about string) ([]byte, error) { return k.open(sealed, about) }
