package settings

import (
	"context"
	"slices"
	"strings"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/tenant"
)

// NewConnection is the body of POST /v1/connections.
type NewConnection struct {
	Name    string `json:"name"`
	Dialect string `json:"dialect"`
	// Secret is what the other system signs with; absent: one is made.
	Secret string `json:"secret"`
	// ListID gives its leads a list and its national numbers a region.
	ListID string `json:"list_id"`
	// LookupURL and LookupSignature: see tenant.Lookup.
	LookupURL       string        `json:"lookup_url"`
	LookupSignature tenant.Signed `json:"lookup_signature"`
}

// ConnectionPatch is the body of PATCH /v1/connections/{id}: absent keeps, null
// gives the default.
type ConnectionPatch struct {
	Name            event.Opt[string]        `json:"name"`
	Secret          event.Opt[string]        `json:"secret"`
	ListID          event.Opt[string]        `json:"list_id"`
	LookupURL       event.Opt[string]        `json:"lookup_url"`
	LookupSignature event.Opt[tenant.Signed] `json:"lookup_signature"`
}

// maxSecret is the longest secret of another system.
const maxSecret = 512

// CreateConnection makes a connection.
func (s *Service) CreateConnection(ctx context.Context, c commands.Caller, in NewConnection) (conn tenant.Connection, err error) {
	err = s.change(ctx, c, func(d *draft) error {
		conn = tenant.Connection{
			Org: c.Org.ID, Name: in.Name, Dialect: in.Dialect, Secret: in.Secret, ListID: in.ListID,
			Lookup: tenant.Lookup{Signed: in.LookupSignature, URL: in.LookupURL}, CreatedAt: d.at,
		}
		if err := s.checkConnection(d, conn, true); err != nil {
			return err
		}
		if conn.ID, err = d.id("connection"); err != nil {
			return err
		}
		if known, ok := d.now.ConnectionByID(conn.ID); ok && known.Org == c.Org.ID {
			if d.repeated(known.CreatedAt) {
				conn = known
				return nil
			}
			if conn.ID, err = d.freshID("connection"); err != nil {
				return err
			}
		}
		if conn.Secret == "" {
			if conn.Secret, err = d.secret(); err != nil {
				return err
			}
		}
		d.putConnection(conn, tenant.Created)
		return nil
	})
	return conn, err
}

// checkConnection says everything that is wrong with a connection.
func (s *Service) checkConnection(d *draft, conn tenant.Connection, newURL bool) error {
	var f faults
	f.name("/name", conn.Name)
	if !s.cfg.Dialects.Receives(conn.Dialect) {
		f.add("/dialect", "expected one of %s", strings.Join(s.receivable(), ", "))
	}
	f.text("/secret", conn.Secret, maxSecret)
	if _, ok := d.now.List(conn.Org, conn.ListID); conn.ListID != "" && !ok {
		f.add("/list_id", "there is no such list")
	}
	if conn.Lookup != (tenant.Lookup{}) && !s.cfg.Dialects.LooksUp(conn.Dialect) {
		at := "/lookup_url"
		if conn.Lookup.URL == "" {
			at = "/lookup_signature"
		}
		f.add(at, "systems that speak %.100q look no contacts up", conn.Dialect)
		return f.err()
	}
	if conn.Lookup.URL != "" && newURL {
		f.url("/lookup_url", conn.Lookup.URL, s.cfg.Guard)
	}
	if conn.Lookup.Signed != "" {
		oneOf(&f, "/lookup_signature", string(conn.Lookup.Signed), string(tenant.SignedEmpty), string(tenant.SignedQuery), string(tenant.SignedURL))
	}
	return f.err()
}

// ChangeConnection changes a connection. Its dialect stays: the ids of what it
// brought are that system's.
func (s *Service) ChangeConnection(ctx context.Context, c commands.Caller, id string, in ConnectionPatch) (conn tenant.Connection, err error) {
	err = s.change(ctx, c, func(d *draft) error {
		if conn, err = d.connection(id); err != nil {
			return err
		}
		before := conn
		set(&conn.Name, in.Name, "")
		set(&conn.ListID, in.ListID, "")
		set(&conn.Lookup.URL, in.LookupURL, "")
		set(&conn.Lookup.Signed, in.LookupSignature, "")
		set(&conn.Secret, in.Secret, "")
		if err := s.checkConnection(d, conn, conn.Lookup.URL != before.Lookup.URL); err != nil {
			return err
		}
		if conn.Secret == "" {
			if conn.Secret, err = d.secret(); err != nil {
				return err
			}
		}
		action := tenant.Updated
		if conn.Secret != before.Secret {
			action = tenant.SecretRotated
		}
		d.putConnection(conn, action)
		return nil
	})
	return conn, err
}

// DeleteConnection deletes a connection: what it sends is refused from now on.
// What it brought stays.
func (s *Service) DeleteConnection(ctx context.Context, c commands.Caller, id string) error {
	return s.change(ctx, c, func(d *draft) error {
		conn, err := d.connection(id)
		if err != nil {
			return err
		}
		d.out.Deleted = append(d.out.Deleted, Ref{Connections, conn.ID})
		d.fact(conn.Org, conn.ID, tenant.ConnectionChanged{Change: d.said(tenant.Deleted, conn.ID, "")})
		return nil
	})
}

// connection returns a connection of the caller's org.
func (d *draft) connection(id string) (tenant.Connection, error) {
	conn, ok := d.now.Connection(d.caller.Org.ID, id)
	if !ok {
		return conn, missing(Connections, id)
	}
	return conn, nil
}

// ReadConnectionSecrets notes that somebody is shown the secrets of connections.
// They may be shown once it returned nil.
func (s *Service) ReadConnectionSecrets(ctx context.Context, c commands.Caller, ids ...string) error {
	return s.change(ctx, c, func(d *draft) error {
		for _, id := range ids {
			d.fact(c.Org.ID, id, tenant.ConnectionChanged{Change: d.said(tenant.SecretRead, id, "")})
		}
		return nil
	})
}

func (s *Service) receivable() []string {
	return slices.DeleteFunc(slices.Clone(s.cfg.Dialects.Names()), func(n string) bool { return !s.cfg.Dialects.Receives(n) })
}
