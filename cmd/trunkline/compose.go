package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"trunkline.dev/trunkline/adapters/dialects"
	"trunkline.dev/trunkline/adapters/httpapi"
	"trunkline.dev/trunkline/adapters/postgres/control"
	"trunkline.dev/trunkline/adapters/postgres/readmodel"
	"trunkline.dev/trunkline/commands/settings"
	"trunkline.dev/trunkline/domain/agent"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/tenant"
)

// What one adapter has and another needs, in the words of the one who needs it.

// dialectCatalogue tells the settings what the webhook formats can do.
type dialectCatalogue struct{}

var _ settings.Dialects = dialectCatalogue{}

func (dialectCatalogue) Names() []string { return dialects.Names() }

func (dialectCatalogue) Events(name string) ([]string, bool) {
	d, ok := dialects.Get(name)
	if !ok {
		return nil, false
	}
	return d.Events(), true
}

func (dialectCatalogue) Subscribable(name, event string) bool {
	d, ok := dialects.Get(name)
	return ok && dialects.Subscribable(d, event)
}

func (dialectCatalogue) Receives(name string) bool {
	_, ok := inbound(name)
	return ok
}

func (dialectCatalogue) LooksUp(name string) bool { return dialects.LooksUp(name) }

func (dialectCatalogue) SignedByStandard(name string) bool { return dialects.SignedByStandard(name) }

// inbound finds the receiving side of a dialect.
func inbound(name string) (httpapi.Inbound, bool) {
	d, ok := dialects.Get(name)
	if !ok {
		return nil, false
	}
	in, ok := d.(dialects.Inbound)
	return in, ok
}

// directory is the control plane as the API and the delivery engine see it.
type directory struct{ *control.Directory }

// List finds a list of an org.
func (d directory) List(org, id string) (tenant.List, bool) {
	l, ok := d.ListByID(id)
	return l, ok && l.Org == org
}

// OrgName returns the name of an org, "" when unknown.
func (d directory) OrgName(org string) string {
	o, _ := d.Org(org)
	return o.Name
}

// ListName returns the name of a list of an org, "" when unknown.
func (d directory) ListName(org, id string) string {
	l, _ := d.List(org, id)
	return l.Name
}

// region returns how a list writes phone numbers, "" when it does not say.
func (d directory) region(org, id string) string {
	l, _ := d.List(org, id)
	return l.DefaultRegion
}

// verdicts reads what the fold decided about an agent's transition.
type verdicts struct{ reader *readmodel.Reader }

// Verdict folds the agent's history up to the event.
func (v verdicts) Verdict(ctx context.Context, org, agentID, eventID string) (agent.Verdict, bool, error) {
	past, err := v.reader.Event(ctx, org, event.Agents, eventID)
	if errors.Is(err, readmodel.ErrNotFound) {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	views, err := v.reader.Views(ctx, []event.Recorded{past.Recorded})
	if err != nil || len(views) == 0 || views[0].Agent == nil {
		return "", false, err
	}
	return views[0].Agent.Last, true, nil
}

// findAdminKey takes the first org's admin key from the settings, or generates
// it once and keeps it in the data directory.
func (a *app) findAdminKey() (err error) {
	if a.adminKey = a.cfg.AdminKey; a.adminKey != "" {
		return nil
	}
	a.adminKey, a.adminKeyCreated, err = readOrCreate(a.cfg.file(adminKeyFile), func() (string, error) {
		var random [32]byte
		if _, err := rand.Read(random[:]); err != nil {
			return "", fmt.Errorf("making the admin key: %w", err)
		}
		return tenant.FormatKey(random), nil
	})
	return err
}

// greetStores says how to look into the embedded stores.
func (a *app) greetStores() string {
	var b strings.Builder
	if a.stack.broker != nil {
		fmt.Fprintf(&b, "  Kafka        %s\n", a.stack.broker.Addr())
	}
	if a.stack.postgres != nil {
		fmt.Fprintf(&b, "  Postgres     %s  database and user trunkline, password in %s\n", a.stack.postgres.Addr(), a.cfg.file("postgres.password"))
	}
	if a.stack.clickhouse != nil {
		password := "password in " + a.cfg.file("clickhouse-bi.password")
		if a.cfg.ClickHouseBIPassword != "" {
			password = "password in $TRUNKLINE_CLICKHOUSE_BI_PASSWORD"
		} else if p, _, err := readOrCreate(a.cfg.file("clickhouse-bi.password"), nil); err == nil {
			password = "password " + p
		}
		fmt.Fprintf(&b, "  ClickHouse   http://%s, native %s  database trunkline, read-only user bi, %s\n", a.stack.clickhouse.HTTPAddr(), a.stack.clickhouse.NativeAddr(), password)
	}
	return b.String()
}

// greetFirst says how to send the first lead.
func (a *app) greetFirst() string {
	key := "$(cat " + a.cfg.file(adminKeyFile) + ")"
	if a.cfg.AdminKey != "" {
		key = "$TRUNKLINE_ADMIN_KEY"
	} else if a.adminKeyCreated {
		key = a.adminKey
	}
	return fmt.Sprintf(`
Send the first lead:

  curl -s %s/v1/leads -H "Authorization: Bearer %s" \
    -H 'Content-Type: application/json' -d '{"phone":"(415) 555-0100","name":"Sally Sample"}'
`, a.cfg.baseURL(), key)
}
