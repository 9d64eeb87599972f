package event

import (
	"bytes"
	"encoding/json"
)

// Marshal encodes v as compact JSON without HTML escapes and without a
// trailing newline. Everything that is stored or sent uses it, so that equal
// values have equal bytes and "<br>" in a transcript stays what it is.
func Marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// Opt is a field of a merge: absent keeps what is known, null clears it, a
// value replaces it. Use it with the `omitzero` JSON option.
type Opt[T any] struct {
	// Set is false for an absent field.
	Set bool
	// Null is true for a JSON null.
	Null bool
	// Value is the new value when Set and not Null.
	Value T
}

// Some is a field with a value.
func Some[T any](v T) Opt[T] { return Opt[T]{Set: true, Value: v} }

// Null is a field that clears what is known.
func Null[T any]() Opt[T] { return Opt[T]{Set: true, Null: true} }

// IsZero reports whether the field is absent; encoding/json's omitzero asks.
func (o Opt[T]) IsZero() bool { return !o.Set }

// MarshalJSON writes null or the value.
func (o Opt[T]) MarshalJSON() ([]byte, error) {
	if !o.Set || o.Null {
		return []byte("null"), nil
	}
	return Marshal(o.Value)
}

// UnmarshalJSON reads null or a value. An absent field never gets here.
func (o *Opt[T]) UnmarshalJSON(b []byte) error {
	*o = Opt[T]{Set: true}
	if bytes.Equal(b, []byte("null")) {
		o.Null = true
		return nil
	}
	return json.Unmarshal(b, &o.Value)
}
