package event

import (
	"bytes"
	"encoding/json"
	"reflect"
	"sync"
)

// Marshal encodes v as compact JSON without HTML escapes and without a
// trailing newline. Everything that is stored or sent uses it, so that equal
// values have equal bytes and "<br>" in a transcript stays what it is.
func Marshal(v any) ([]byte, error) {
	e := encoders.Get().(*encoder)
	defer e.done()
	if b, ok := shaped(e.AvailableBuffer(), v); ok {
		_, _ = e.Write(b) // which keeps what the buffer has grown to
		return bytes.Clone(b), nil
	}
	if err := e.enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.Clone(bytes.TrimSuffix(e.Bytes(), []byte("\n"))), nil
}

func shaped(b []byte, v any) ([]byte, bool) {
	if v == nil {
		return b, false
	}
	s := shapeOf(reflect.TypeOf(v))
	if s == nil {
		return b, false
	}
	return s.append(b, reflect.ValueOf(v))
}

// encoder is an encoder with its buffer, which is used again: to let a new one
// grow costs several times what is encoded.
type encoder struct {
	bytes.Buffer
	enc *json.Encoder
}

// largeBuffer is not kept: a transcript comes now and then.
const largeBuffer = 64 << 10

func (e *encoder) done() {
	e.Reset()
	if e.Cap() <= largeBuffer {
		encoders.Put(e)
	}
}

var encoders = sync.Pool{New: func() any { return newEncoder() }}

func newEncoder() *encoder {
	e := new(encoder)
	e.enc = json.NewEncoder(&e.Buffer)
	e.enc.SetEscapeHTML(false)
	return e
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
