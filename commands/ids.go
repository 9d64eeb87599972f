package commands

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"time"

	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/lead"
	"trunkline.dev/trunkline/domain/tenant"
)

// LeadID is the id of the lead with a number (E.164) in an org: the same phone
// is the same lead, with no look-up.
func LeadID(org tenant.Org, e164 string) string {
	return event.KeyedID(org.Secret, "lead", e164)
}

// DerivedID is the id of an entity that a source names by its own id. It is the
// same whenever the source says it, so its facts may come in any order. The
// connection is "" for what comes by the API.
func DerivedID(topic event.Topic, org, connectionID, externalID string) string {
	return event.DeriveID("entity", string(topic), org, connectionID, externalID)
}

// isID reports whether clients may call an entity so: it is safe in a path and in
// a key.
func isID(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '_' && c != '~' && c != '-' {
			return false
		}
	}
	return len(s) >= 1 && len(s) <= 128
}

const idRule = "expected 1 to 128 of the characters A-Z a-z 0-9 . _ ~ -"

// subject is the id of the entity that a fact is about.
func (r *Recorder) subject(c Caller, f Fact, topic event.Topic, index int, now time.Time) (string, error) {
	if l, ok := f.Payload.(lead.Upserted); ok {
		return LeadID(c.Org, l.Phone), nil // whatever the source calls it, the phone decides
	}
	if topic == event.Agents {
		id := f.Subject
		if id == "" {
			id = f.ExternalID
		}
		if id == "" || len(id) > maxShort || !printable(id) {
			return "", &Invalid{Errors: []FieldError{{Pointer: "/subject", Detail: "an agent's id of 1 to 512 characters is expected"}}}
		}
		return id, nil // agents are called what their dialer calls them
	}
	if f.Subject != "" {
		if !isID(f.Subject) {
			return "", &Invalid{Errors: []FieldError{{Pointer: "/subject", Detail: idRule}}}
		}
		return f.Subject, nil
	}
	if f.ExternalID != "" {
		return DerivedID(topic, c.Org.ID, c.ConnectionID, f.ExternalID), nil
	}
	return r.mint(c, f, topic, index, now)
}

// mint makes an id that we can recognise as ours without a look-up. A fact that
// can be told again (it has a key) gets the same id again.
func (r *Recorder) mint(c Caller, f Fact, topic event.Topic, index int, now time.Time) (string, error) {
	secret := mintSecret(c.Org, topic)
	if key := retold(c, f, index); key != nil {
		var sum [32]byte
		h := sha256.New()
		for _, p := range append(key, string(topic), c.Org.ID) {
			_, _ = fmt.Fprintf(h, "%d:%s", len(p), p)
		}
		h.Sum(sum[:0])
		ms := int64(binary.BigEndian.Uint64(sum[:8]) >> 16)
		return event.MintID(secret, time.UnixMilli(ms), binary.BigEndian.Uint64(sum[8:])), nil
	}
	var b [8]byte
	if _, err := io.ReadFull(r.cfg.Random, b[:]); err != nil {
		return "", fmt.Errorf("drawing an id: %w", err)
	}
	return event.MintID(secret, now, binary.BigEndian.Uint64(b[:])), nil
}

// mintSecret differs per kind, so that the id of a message is not taken for one
// of a call.
func mintSecret(org tenant.Org, topic event.Topic) []byte {
	return append(append(make([]byte, 0, len(org.Secret)+len(topic)), org.Secret...), topic...)
}

// retold returns what names a fact when it is sent again, nil if nothing does.
func retold(c Caller, f Fact, index int) []string {
	if f.EventKey != "" {
		return []string{"source", c.Source, f.EventKey}
	}
	if c.IdempotencyKey != "" {
		return []string{"idempotency", c.Route, c.IdempotencyKey, strconv.Itoa(index)}
	}
	return nil
}

// eventID derives the id of an event from what names it, else draws one.
func (r *Recorder) eventID(c Caller, f Fact, index int, now time.Time) (string, error) {
	if key := retold(c, f, index); key != nil {
		return event.DeriveID(append([]string{"event", c.Org.ID, string(f.Payload.EventType())}, key...)...), nil
	}
	return uuid7(now, r.cfg.Random)
}

// uuid7 makes a time-ordered UUID (RFC 9562).
func uuid7(now time.Time, random io.Reader) (string, error) {
	var b [16]byte
	if _, err := io.ReadFull(random, b[6:]); err != nil {
		return "", fmt.Errorf("drawing an event id: %w", err)
	}
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(now.UnixMilli()))
	copy(b[:6], ms[2:])
	b[6] = b[6]&0x0f | 0x70 // version 7
	b[8] = b[8]&0x3f | 0x80 // variant of RFC 9562
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:], nil
}
