// Package recording holds the rules of keeping calls' audio: how a link to it is
// signed and when it ends, when a fetch is tried again, and what is taken for
// audio. What happened to a recording are facts of its call (package call).
package recording

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"time"
)

// LinkLife is how long a link lives (seed 000).
const LinkLife = 72 * time.Hour

// Link is a signed address of a recording: who has it may fetch the audio until
// it ends, without a key. It is a pure function of its parts, so the same
// webhook rendered again carries the same link.
type Link struct {
	// RecordingID is the hub's id.
	RecordingID string
	// Ends is when the link ends, in whole seconds.
	Ends time.Time
	// Signature is the MAC of the two, as it stands in the URL.
	Signature string
}

// LinkKey derives the key that signs the links of an org from its secret, so
// that a MAC made for another purpose is no link.
func LinkKey(orgSecret []byte) []byte {
	m := hmac.New(sha256.New, orgSecret)
	_, _ = m.Write([]byte("trunkline recording links 1"))
	return m.Sum(nil)
}

// Sign makes the link of a recording that ends at a time; a part of a second
// counts as a whole one.
func Sign(key []byte, recordingID string, ends time.Time) Link {
	l := Link{RecordingID: recordingID, Ends: ends.UTC().Truncate(time.Second)}
	if l.Ends.Before(ends) {
		l.Ends = l.Ends.Add(time.Second)
	}
	l.Signature = l.mac(key)
	return l
}

// ReadLink reads the parts of a link as they stand in its URL. It reports false
// for what no link looks like; whether the signature is right is asked by Valid.
func ReadLink(recordingID, exp, sig string) (Link, bool) {
	sec, err := strconv.ParseInt(exp, 10, 64)
	if err != nil || sec <= 0 || strconv.FormatInt(sec, 10) != exp || recordingID == "" || sig == "" {
		return Link{}, false
	}
	return Link{RecordingID: recordingID, Ends: time.Unix(sec, 0).UTC(), Signature: sig}, true
}

// Valid reports whether the key signed the link. It takes the same time for
// every wrong signature.
func (l Link) Valid(key []byte) bool {
	return hmac.Equal([]byte(l.Signature), []byte(l.mac(key)))
}

// PathAndQuery is the link below the hub's public URL.
func (l Link) PathAndQuery() string {
	return LinkPath + l.RecordingID + "?exp=" + l.exp() + "&sig=" + l.Signature
}

// LinkPath is where links lead.
const LinkPath = "/recordings/"

func (l Link) exp() string { return strconv.FormatInt(l.Ends.Unix(), 10) }

func (l Link) mac(key []byte) string {
	m := hmac.New(sha256.New, key)
	_, _ = m.Write([]byte(l.RecordingID + "\n" + l.exp()))
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

// LinksIn finds the links that a text carries: those below the hub's public URL.
func LinksIn(text []byte, publicURL string) []Link {
	var found []Link
	begin := []byte(publicURL + LinkPath)
	for {
		at := bytes.Index(text, begin)
		if at < 0 {
			return found
		}
		text = text[at+len(begin):]
		if l, ok := linkAt(text); ok {
			found = append(found, l)
		}
	}
}

// linkAt reads the link that a text begins with, without its path.
func linkAt(text []byte) (Link, bool) {
	id, rest, ok := bytes.Cut(text[:min(len(text), maxLink)], []byte("?exp="))
	if !ok {
		return Link{}, false
	}
	exp, rest, ok := bytes.Cut(rest, []byte("&sig="))
	n := word(rest)
	if !ok || n != macLength || word(id) != len(id) {
		return Link{}, false
	}
	return ReadLink(string(id), string(exp), string(rest[:n]))
}

// word is how long a text goes on in the characters of ids and signatures.
func word(text []byte) int {
	n := 0
	for n < len(text) && (text[n] == '-' || text[n] == '_' || text[n] >= '0' && text[n] <= '9' || text[n]|0x20 >= 'a' && text[n]|0x20 <= 'z') {
		n++
	}
	return n
}

const (
	// macLength is a signature's; maxLink bounds a link without its beginning.
	macLength = 43
	maxLink   = 128
)
