package tenant

import (
	"crypto/sha256"
	"hash/crc32"
	"math/big"
	"strings"
)

// KeyPrefix begins every key that the hub makes, so that secret scanners can
// tell one from a random string.
const KeyPrefix = "tl_live_"

const (
	secretDigits   = 43 // 62^43 > 2^256
	checksumDigits = 6  // 62^6 > 2^32
	shownDigits    = 4
	base62         = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// FormatKey writes 256 random bits as an API key: prefix, 43 base-62 digits and
// 6 digits of a checksum, by which a scanner avoids false alarms.
func FormatKey(random [32]byte) string {
	body := KeyPrefix + digits(new(big.Int).SetBytes(random[:]), secretDigits)
	return body + checksum(body)
}

// WellFormed reports whether a text could be a key that FormatKey made.
func WellFormed(key string) bool {
	if len(key) != len(KeyPrefix)+secretDigits+checksumDigits || !strings.HasPrefix(key, KeyPrefix) {
		return false
	}
	body := key[:len(key)-checksumDigits]
	return checksum(body) == key[len(body):]
}

// HashKey is what is kept of a key.
func HashKey(key string) [32]byte { return sha256.Sum256([]byte(key)) }

// ShownPrefix is the part of a key that may be shown later, to recognise it by.
// A key that somebody else chose may be short, so little of it is shown.
func ShownPrefix(key string) string {
	if WellFormed(key) {
		return key[:len(KeyPrefix)+shownDigits]
	}
	return key[:min(shownDigits, len(key)/4)]
}

func checksum(body string) string {
	return digits(big.NewInt(int64(crc32.ChecksumIEEE([]byte(body)))), checksumDigits)
}

func digits(n *big.Int, width int) string {
	out := make([]byte, width)
	base, rest := big.NewInt(int64(len(base62))), new(big.Int)
	for i := width - 1; i >= 0; i-- {
		n.DivMod(n, base, rest)
		out[i] = base62[rest.Int64()]
	}
	return string(out)
}
