package event

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"time"
)

// DeriveID gives the same id for the same parts, always: a UUID of version 8
// (RFC 9562) over their SHA-256. Parts are length-prefixed, so ("ab","c") and
// ("a","bc") differ. A fact that is sent again gets the id it had.
func DeriveID(parts ...string) string {
	var room [256]byte // most need no more: the engine derives several for each event
	sum := sha256.Sum256(appendParts(room[:0], parts))
	return uuid8(sum[:])
}

// KeyedID is DeriveID under a secret, for ids that must not be guessable from
// what they stand for. A phone number has ten digits: a plain hash of it can
// be reversed by trying them all.
func KeyedID(secret []byte, parts ...string) string {
	h := hmac.New(sha256.New, secret)
	_, _ = h.Write(appendParts(nil, parts))
	return uuid8(h.Sum(nil))
}

func appendParts(b []byte, parts []string) []byte {
	for _, p := range parts {
		b = binary.BigEndian.AppendUint64(b, uint64(len(p)))
		b = append(b, p...)
	}
	return b
}

// MintID makes a time-ordered id that its issuer can recognise without a
// look-up: 48 bits of time, 42 of the given randomness, 32 of an HMAC over
// them. A made-up id is refused even while the read models are away.
func MintID(secret []byte, now time.Time, random uint64) string {
	var b [16]byte
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(now.UnixMilli()))
	copy(b[:6], ms[2:])
	var r [8]byte
	binary.BigEndian.PutUint64(r[:], random)
	copy(b[6:12], r[:6])
	setUUID8(&b)
	copy(b[12:], tag(secret, b[:12]))
	return format(b)
}

// Minted reports whether MintID with this secret made the id.
func Minted(secret []byte, id string) bool {
	if len(id) != 36 || id[8] != '-' || id[13] != '-' || id[18] != '-' || id[23] != '-' {
		return false
	}
	raw, err := hex.DecodeString(id[:8] + id[9:13] + id[14:18] + id[19:23] + id[24:])
	if err != nil || len(raw) != 16 {
		return false
	}
	return hmac.Equal(raw[12:], tag(secret, raw[:12]))
}

func tag(secret, b []byte) []byte {
	h := hmac.New(sha256.New, secret)
	_, _ = h.Write(b)
	return h.Sum(nil)[:4]
}

func uuid8(sum []byte) string {
	var b [16]byte
	copy(b[:], sum)
	setUUID8(&b)
	return format(b)
}

func setUUID8(b *[16]byte) {
	b[6] = b[6]&0x0f | 0x80 // version 8: custom
	b[8] = b[8]&0x3f | 0x80 // variant of RFC 9562
}

func format(b [16]byte) string {
	s := make([]byte, 0, 36)
	for i, part := range [][]byte{b[:4], b[4:6], b[6:8], b[8:10], b[10:]} {
		if i > 0 {
			s = append(s, '-')
		}
		s = hex.AppendEncode(s, part)
	}
	return string(s)
}
