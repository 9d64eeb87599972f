package main

import (
	"context"
	"net/url"

	"trunkline.dev/trunkline/adapters/webhooks"
	"trunkline.dev/trunkline/commands/settings"
	"trunkline.dev/trunkline/domain/delivery"
)

// receivers asks receivers for their consent over the sender of deliveries.
type receivers struct {
	handshake webhooks.Handshake
	// callbacks is the public URL under which a receiver may consent later; ""
	// where nobody outside could reach it.
	callbacks string
}

var _ settings.Receivers = receivers{}

// Ask makes one validation request.
func (r receivers) Ask(ctx context.Context, e delivery.Endpoint) (ratePerMin int64, err error) {
	callback := ""
	if r.callbacks != "" {
		callback = r.callbacks + "/v1/webhooks/" + url.PathEscape(e.ID) + "/consent?key=" + url.QueryEscape(e.Consent.Token)
	}
	return r.handshake.Ask(ctx, e, callback)
}

// newReceivers is what the settings ask with. A public URL that nobody set is
// this machine's own address, which is no place to be called back at.
func (a *app) newReceivers() receivers {
	r := receivers{handshake: webhooks.Handshake{Attempter: a.sender, Version: version}}
	if a.cfg.publicURLSet {
		r.callbacks = a.cfg.PublicURL
	}
	return r
}
