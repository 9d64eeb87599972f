package settings

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"time"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/tenant"
)

// callbackLife is how long a receiver may consent by the callback after it was
// asked.
const callbackLife = 7 * 24 * time.Hour

// notAsked is the reason of a webhook whose receiver has not answered yet.
const notAsked = "the receiver was not asked for its consent yet"

// asked is why a webhook is off while its receiver is being asked.
const asked = "the receiver is asked for its consent"

// ask opens the question whether a receiver consents. Until it is answered the
// webhook is disabled; enable says what becomes of it then.
func (s *Service) ask(d *draft, e *delivery.Endpoint, enable bool) error {
	token, err := d.bytes(32)
	if err != nil {
		return err
	}
	e.Consent = delivery.Consent{
		State: delivery.ConsentWaiting, URL: e.URL, Origin: s.cfg.Origin, AskedAt: d.at, Enable: enable,
		Token: base64.RawURLEncoding.EncodeToString(token),
	}
	e.Enabled = false
	if enable {
		e.DisabledReason = notAsked
	}
	return nil
}

// answer puts the question to the receiver, if a change has opened one, and
// notes what it said.
func (s *Service) answer(ctx context.Context, c commands.Caller, e delivery.Endpoint, asked bool) (delivery.Endpoint, error) {
	if !asked || !e.AwaitsConsent() {
		return e, nil
	}
	rate, refusal := s.cfg.Receivers.Ask(ctx, e)
	err := s.change(ctx, c, func(d *draft) error {
		now, ok := d.now.Endpoint(e.Org, e.ID)
		if !ok || !now.AwaitsConsent() || now.Consent.Token != e.Consent.Token {
			// Deleted, asked anew, or granted by the callback meanwhile.
			if ok {
				e = now
			}
			return nil
		}
		if refusal == nil {
			e = d.grant(now, rate)
			return nil
		}
		reason := "the receiver has not consented: " + refusal.Error()
		now.Consent.Detail, now.UpdatedAt = refusal.Error(), d.at
		if now.Consent.Enable {
			now.DisabledReason = reason
		}
		d.putEndpoint(now, tenant.Updated, reason)
		e = now
		return nil
	})
	return e, err
}

// grant notes that a receiver consents, and enables the webhook if it was to be.
func (d *draft) grant(e delivery.Endpoint, ratePerMin int64) delivery.Endpoint {
	action, reason := tenant.Updated, "the receiver consented"
	if e.Consent.Enable {
		reason = backlogOfEnable // what enabling says: what was held is delivered
		action, e.Enabled, e.DisabledReason, e.EnabledAt = tenant.Enabled, true, "", d.at
	}
	e.Consent.State, e.Consent.GrantedAt, e.Consent.RatePerMin = delivery.ConsentGranted, d.at, ratePerMin
	e.Consent.Detail, e.Consent.Enable, e.UpdatedAt = "", false, d.at
	d.putEndpoint(e, action, reason)
	return e
}

// AskConsent asks the receiver of a webhook again, now.
func (s *Service) AskConsent(ctx context.Context, c commands.Caller, id string) (e delivery.Endpoint, err error) {
	err = s.change(ctx, c, func(d *draft) error {
		if e, err = d.endpoint(id); err != nil {
			return err
		}
		if !e.Handshake {
			return &Conflict{Reason: "this webhook needs no consent; PATCH it with handshake: true first"}
		}
		action := tenant.Updated
		if e.Enabled {
			action = tenant.Disabled
		}
		if err := s.ask(d, &e, e.Enabled || e.Consent.Enable); err != nil {
			return err
		}
		e.UpdatedAt = d.at
		d.putEndpoint(e, action, asked)
		return nil
	})
	if err != nil {
		return e, err
	}
	return s.answer(ctx, c, e, true)
}

// ConsentByCallback takes the consent of a receiver that calls the URL it was
// given; nobody else knows its token. Calling again changes nothing. A token
// that is wrong, or too old, is not told from a webhook that does not exist.
func (s *Service) ConsentByCallback(ctx context.Context, id, token string, ratePerMin int64) error {
	known, ok := s.cfg.View.Snapshot().EndpointByID(id)
	if !ok || !s.admits(known, token, s.cfg.Clock()) {
		return missing(Endpoints, id)
	}
	return s.change(ctx, receiver(known), func(d *draft) error {
		e, ok := d.now.EndpointByID(id)
		if !ok || !s.admits(e, token, d.at) {
			return missing(Endpoints, id)
		}
		if e.AwaitsConsent() {
			d.grant(e, ratePerMin)
		}
		return nil
	})
}

func (s *Service) admits(e delivery.Endpoint, token string, now time.Time) bool {
	return e.Handshake && e.Consent.Token != "" && e.Consent.URL == e.URL && now.Before(e.Consent.AskedAt.Add(callbackLife)) &&
		subtle.ConstantTimeCompare([]byte(e.Consent.Token), []byte(token)) == 1
}

// receiver is on whose behalf a consent comes.
func receiver(e delivery.Endpoint) commands.Caller {
	return commands.Caller{Org: tenant.Org{ID: e.Org}, Actor: "receiver/" + e.ID, Source: "api"}
}

// reconsent says what a change of a webhook means for the consent of its
// receiver: it is asked again for another URL or rate, and before a webhook is
// enabled. It reports whether it is to be asked.
func (s *Service) reconsent(d *draft, before delivery.Endpoint, e *delivery.Endpoint, enabledSet bool) (asks bool, err error) {
	// While consent is waited for, a webhook that is meant to be on is off.
	meant := e.Enabled || before.Consent.Enable && !enabledSet
	switch {
	case !e.Handshake && before.Handshake:
		e.Consent = delivery.Consent{}
		e.Enabled = meant
		return false, nil
	case !e.Handshake:
		return false, nil
	case e.URL == before.URL && before.Handshake && e.RatePerSec == before.RatePerSec && (!e.Enabled || before.Enabled):
		if before.AwaitsConsent() && !meant {
			e.Consent.Enable = false
		}
		return false, nil
	}
	return true, s.ask(d, e, meant)
}
