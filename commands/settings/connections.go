package settings

import (
	"context"
	"slices"
	"strings"

	"trunkline.dev/trunkline/commands"
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
}

// maxSecret is the longest secret of another system.
const maxSecret = 512

// CreateConnection makes a connection.
func (s *Service) CreateConnection(ctx context.Context, c commands.Caller, in NewConnection) (conn tenant.Connection, err error) {
	err = s.change(ctx, c, func(d *draft) error {
		var f faults
		f.name("/name", in.Name)
		if !s.cfg.Dialects.Receives(in.Dialect) {
			f.add("/dialect", "expected one of %s", strings.Join(s.receivable(), ", "))
		}
		f.text("/secret", in.Secret, maxSecret)
		if _, ok := d.now.List(c.Org.ID, in.ListID); in.ListID != "" && !ok {
			f.add("/list_id", "there is no such list")
		}
		if err := f.err(); err != nil {
			return err
		}
		id, err := d.id("connection")
		if err != nil {
			return err
		}
		if known, ok := d.now.ConnectionByID(id); ok && known.Org == c.Org.ID {
			if d.repeated(known.CreatedAt) {
				conn = known
				return nil
			}
			if id, err = d.freshID("connection"); err != nil {
				return err
			}
		}
		conn = tenant.Connection{ID: id, Org: c.Org.ID, Name: in.Name, Dialect: in.Dialect, Secret: in.Secret, ListID: in.ListID, CreatedAt: d.at}
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
