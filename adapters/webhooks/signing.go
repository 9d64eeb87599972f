package webhooks

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"trunkline.dev/trunkline/domain/delivery"
)

// Signers are what a request is signed by: secrets and key pairs, newest first.
type Signers struct {
	Secrets []delivery.Secret
	Keys    []delivery.SigningKey
}

// sign returns the signature headers of a request, none for an endpoint
// without a secret. turn picks the secret of the dialect's own header.
func (e *Engine) sign(d delivery.Delivery, ep delivery.Endpoint, dialect Dialect, turn int, now time.Time) []delivery.Header {
	secrets := current(ep.Secrets, now)
	if len(secrets) == 0 {
		return nil
	}
	own := dialect.Sign(ownSecret(secrets, turn), d.Body)
	if !ep.SignStandard {
		return own
	}
	keys, stamp := ep.ValidKeys(now), e.cfg.Stamp()
	h := make([]delivery.Header, 0, 3+len(own))
	h = append(h,
		delivery.Header{Name: "webhook-timestamp", Value: strconv.FormatInt(stamp.Unix(), 10)},
		delivery.Header{Name: "webhook-signature", Value: e.cfg.StandardSign(Signers{secrets, keys}, d.ID, stamp, d.Body)},
	)
	if len(keys) > 0 {
		ids := make([]string, len(keys))
		for i, k := range keys {
			ids[i] = k.ID
		}
		h = append(h, delivery.Header{Name: "trunkline-key-id", Value: strings.Join(ids, " ")})
	}
	return append(h, own...)
}

// ownSecret picks the secret of a dialect's own header, which holds one
// signature. While a rotation overlaps the former secret goes first: a receiver
// that has not heard of the new one yet must not miss anything.
func ownSecret(secrets []delivery.Secret, turn int) string {
	return secrets[len(secrets)-1-turn%len(secrets)].Value
}

// learnSecret notes that a receiver refused a signature. While a rotation
// overlaps it may have switched to the other secret, so that one has its turn.
func (l *lane) learnSecret(j job, status int, now time.Time) {
	refused := status == http.StatusUnauthorized || status == http.StatusForbidden
	// Of many requests under way one moves the turn, for all of them are refused.
	if refused && j.turn == l.turn && len(current(l.endpoint.Secrets, now)) > 1 {
		l.turn++
	}
}

// forgetTurn begins again with the former secret when a rotation began.
func (l *lane) forgetTurn(next delivery.Endpoint) {
	if len(next.Secrets) > 0 && len(l.endpoint.Secrets) > 0 && next.Secrets[0].Value != l.endpoint.Secrets[0].Value {
		l.turn = 0
	}
}

// turnOf is which secret an endpoint's receiver is known to want.
func (e *Engine) turnOf(endpointID string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	if l := e.lanes[endpointID]; l != nil {
		return l.turn
	}
	return 0
}
