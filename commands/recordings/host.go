package recordings

import (
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"strings"
)

// maxHost is the longest name that DNS has, with a port.
const maxHost = 253 + len(":65535")

// SourceOf names the source of an org's recording, by which fetches are bounded: the host
// of its URL, for each org alone. Of a host that many share, an object store say, one org
// has its part, however much another has waiting there.
func SourceOf(org, raw string) string { return org + " " + Host(raw) }

// Host is where a URL leads. It is UTF-8 text that fits into an index: whatever
// somebody has written into the log as the URL of a recording, one that is longer than
// any host's is cut, and told from others of the same beginning by its hash.
func Host(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	host := strings.ToLower(strings.ToValidUTF8(u.Host, "\uFFFD"))
	if len(host) <= maxHost {
		return host
	}
	sum := sha256.Sum256([]byte(host))
	return strings.ToValidUTF8(host[:maxHost-2*len(sum)], "") + hex.EncodeToString(sum[:])
}
