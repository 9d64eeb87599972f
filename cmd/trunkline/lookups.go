package main

import (
	"context"
	"errors"
	"net/http"
	"time"

	"trunkline.dev/trunkline/adapters/crm"
	"trunkline.dev/trunkline/adapters/dialects"
	"trunkline.dev/trunkline/adapters/httpapi"
	"trunkline.dev/trunkline/adapters/postgres/readmodel"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/tenant"
)

// contactLookup answers look-ups on dial from the read models.
type contactLookup struct{ reader *readmodel.Reader }

var _ httpapi.Lookup = contactLookup{}

// Serves reports whether the systems of a dialect look contacts up.
func (contactLookup) Serves(dialect string) bool { return dialects.LooksUp(dialect) }

// Verify checks the signature of a look-up.
func (contactLookup) Verify(c tenant.Connection, h http.Header, query, url string) error {
	return dialects.VerifyLookup(c, h, query, url)
}

// Answer is the body for who has a number.
func (l contactLookup) Answer(ctx context.Context, org, number string) ([]byte, error) {
	p, err := l.reader.Party(ctx, org, number)
	switch {
	case err != nil:
		return nil, err
	case p.Contact != nil:
		return dialects.LookupOfContact(*p.Contact)
	}
	return dialects.LookupOfLead(*p.Lead)
}

// parties tells the asker who is known already.
type parties struct{ reader *readmodel.Reader }

// Known reports whether an org has a contact or a lead with a number.
func (p parties) Known(ctx context.Context, org, number string) (bool, error) {
	_, err := p.reader.Party(ctx, org, number)
	if errors.Is(err, readmodel.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// startLookups makes the asker of customers' CRMs and the log that tells it of
// calls. What it finds goes to the log itself.
func (a *app) startLookups(cfg commands.RecorderConfig, dir directory) (commands.Log, error) {
	client, err := crm.NewClient(crm.ClientConfig{
		Control: a.guard.Control, CheckURL: a.guard.CheckURL, Sign: dialects.SignLookup, UserAgent: "Trunkline/" + version,
	})
	if err != nil {
		return nil, err
	}
	recorder, err := commands.NewRecorder(cfg)
	if err != nil {
		return nil, err
	}
	a.asker, err = crm.New(crm.Config{
		Directory: dir, Parties: parties{a.reader}, Recorder: recorder, Client: client, Read: dialects.ReadLookup,
		Region: dir.region, Clock: time.Now, Logger: a.log,
	})
	if err != nil {
		return nil, err
	}
	a.onStop("look-ups", func(ctx context.Context) error {
		defer client.Close()
		return a.asker.Stop(ctx)
	})
	return crm.Tap{Log: a.events, Asker: a.asker}, nil
}
