package event

import "sync"

// Memo keeps the payload of an event that several consumers of a process read,
// so that it is decoded once. Whoever gets the payload must not change what it
// refers to. It is safe for concurrent use.
type Memo struct {
	once    sync.Once
	payload Payload
	err     error
}

// Payload returns what decode returned when it was first asked; a nil Memo asks
// each time.
func (m *Memo) Payload(decode func() (Payload, error)) (Payload, error) {
	if m == nil {
		return decode()
	}
	m.once.Do(func() { m.payload, m.err = decode() })
	return m.payload, m.err
}

// Equal is always true: what is remembered is no part of an event.
func (*Memo) Equal(*Memo) bool { return true }
