package settings

import (
	"context"
	"strings"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/tenant"
)

// defaultRegion reads national numbers where a list says nothing (seed 000 is
// an American product).
const defaultRegion = "US"

// NewList is the body of POST /v1/lists.
type NewList struct {
	Name string `json:"name"`
	// DefaultRegion is ISO 3166 alpha-2; default US.
	DefaultRegion string `json:"default_region"`
	// WebhookURL gets the list's calls in the dialect dylr.
	WebhookURL string `json:"webhook_url"`
	// RecordingRetentionDays is how long recordings are kept; 0 is for ever.
	RecordingRetentionDays int `json:"recording_retention_days"`
}

// ListPatch is the body of PATCH /v1/lists/{id}; absent keeps, null clears.
type ListPatch struct {
	Name          event.Opt[string] `json:"name"`
	DefaultRegion event.Opt[string] `json:"default_region"`
	WebhookURL    event.Opt[string] `json:"webhook_url"`

	RecordingRetentionDays event.Opt[int] `json:"recording_retention_days"`
}

// Rotation is the body of a rotation.
type Rotation struct {
	// OverlapSec is how long the former secret stays valid; absent is 24 h.
	OverlapSec *int64 `json:"overlap_sec"`
}

// CreateList makes a list, its key and, with a URL, its endpoint.
func (s *Service) CreateList(ctx context.Context, c commands.Caller, in NewList) (list tenant.List, key string, err error) {
	err = s.change(ctx, c, func(d *draft) error {
		id, err := d.id("list")
		if err != nil {
			return err
		}
		known, ok := d.now.List(c.Org.ID, id)
		if ok && !d.repeated(known.CreatedAt) {
			if id, err = d.freshID("list"); err != nil {
				return err
			}
		}
		if in.DefaultRegion == "" {
			in.DefaultRegion = defaultRegion
		}
		list = tenant.List{
			ID: id, Org: c.Org.ID, Name: in.Name, DefaultRegion: strings.ToUpper(in.DefaultRegion), WebhookURL: in.WebhookURL,
			RecordingRetentionDays: in.RecordingRetentionDays, CreatedAt: d.at, UpdatedAt: d.at,
		}
		if err := s.checkList(list, tenant.List{}); err != nil {
			return err
		}
		d.putList(list, tenant.Created)
		if _, err := s.syncListEndpoint(d, list); err != nil {
			return err
		}
		_, key, err = d.newKey(listKey(list))
		return err
	})
	return list, key, err
}

func listKey(l tenant.List) tenant.Key {
	return tenant.Key{Org: l.Org, ListID: l.ID, Name: l.Name, Scopes: []tenant.Scope{tenant.ScopeLeads}}
}

// ChangeList changes a list and its endpoint.
func (s *Service) ChangeList(ctx context.Context, c commands.Caller, id string, in ListPatch) (list tenant.List, err error) {
	var waiting delivery.Endpoint
	err = s.change(ctx, c, func(d *draft) error {
		waiting = delivery.Endpoint{}
		var ok bool
		if list, ok = d.now.List(c.Org.ID, id); !ok {
			return missing(Lists, id)
		}
		before := list
		set(&list.Name, in.Name, "")
		set(&list.DefaultRegion, in.DefaultRegion, defaultRegion)
		set(&list.WebhookURL, in.WebhookURL, "")
		set(&list.RecordingRetentionDays, in.RecordingRetentionDays, 0)
		list.DefaultRegion, list.UpdatedAt = strings.ToUpper(list.DefaultRegion), d.at
		if err := s.checkList(list, before); err != nil {
			return err
		}
		d.putList(list, tenant.Updated)
		waiting, err = s.syncListEndpoint(d, list)
		return err
	})
	if err != nil {
		return list, err
	}
	_, err = s.answer(ctx, c, waiting, true)
	return list, err
}

// DeleteList deletes a list, its keys and its endpoint. It is refused while
// another webhook is limited to the list: that one would fall silent. How long it
// keeps recordings goes on to hold: nobody else says it of its calls.
func (s *Service) DeleteList(ctx context.Context, c commands.Caller, id string) error {
	return s.change(ctx, c, func(d *draft) error {
		l, ok := d.now.List(c.Org.ID, id)
		if !ok {
			return missing(Lists, id)
		}
		own := listEndpointID(l.ID)
		for _, e := range d.now.Endpoints(c.Org.ID) {
			if e.ListID == l.ID && e.ID != own {
				return &Conflict{Reason: "webhook " + e.ID + " (" + e.Name + ") is limited to this list; delete or change it first"}
			}
		}
		for _, n := range d.now.Connections(c.Org.ID) {
			if n.ListID == l.ID {
				return &Conflict{Reason: "connection " + n.ID + " (" + n.Name + ") belongs to this list"}
			}
		}
		if e, ok := d.now.Endpoint(c.Org.ID, own); ok {
			d.deleteEndpoint(e, "its list was deleted")
		}
		for _, k := range d.now.Keys(c.Org.ID) {
			if k.ListID == l.ID {
				d.deleteKey(k, "its list was deleted")
			}
		}
		d.out.Deleted = append(d.out.Deleted, Ref{Lists, l.ID})
		if l.RecordingRetentionDays > 0 {
			former := tenant.FormerList{ID: l.ID, Org: l.Org, RecordingRetentionDays: l.RecordingRetentionDays, DeletedAt: d.at}
			d.out.FormerLists = append(d.out.FormerLists, former)
		}
		d.fact(l.Org, l.ID, tenant.ListChanged{Change: d.said(tenant.Deleted, l.ID, "")})
		return nil
	})
}

// RotateListKey makes a new key for a list; its former keys end after the
// overlap.
func (s *Service) RotateListKey(ctx context.Context, c commands.Caller, id string, in Rotation) (key tenant.Key, plain string, err error) {
	err = s.change(ctx, c, func(d *draft) error {
		var f faults
		overlap := f.overlap(in.OverlapSec)
		if err := f.err(); err != nil {
			return err
		}
		l, ok := d.now.List(c.Org.ID, id)
		if !ok {
			return missing(Lists, id)
		}
		key, plain, err = d.newKey(listKey(l))
		if err != nil {
			return err
		}
		end := d.at.Add(overlap)
		for _, k := range d.now.Keys(c.Org.ID) {
			if k.ListID == l.ID && k.ID != key.ID && (k.ExpiresAt.IsZero() || k.ExpiresAt.After(end)) {
				k.ExpiresAt = end
				d.putKey(k, tenant.Updated, "a new key of the list takes its place")
			}
		}
		return nil
	})
	return key, plain, err
}

// checkList checks a list. A region and a URL are only held to what is right now
// where they are new: a list that had others may be changed in the rest.
func (s *Service) checkList(l, before tenant.List) error {
	var f faults
	f.name("/name", l.Name)
	if l.DefaultRegion != before.DefaultRegion && !s.isRegion(l.DefaultRegion) {
		f.add("/default_region", "expected a country by its two letters (ISO 3166), for example US")
	}
	if l.WebhookURL != "" && l.WebhookURL != before.WebhookURL {
		f.url("/webhook_url", l.WebhookURL, s.cfg.Guard)
	}
	if d := l.RecordingRetentionDays; d < 0 || d > maxRetentionDays {
		f.add("/recording_retention_days", "expected a number from 0 (for ever) to %d", maxRetentionDays)
	}
	return f.err()
}

// isRegion reports whether national numbers of a region can be read: of one that
// does not exist, each would be refused.
func (s *Service) isRegion(code string) bool {
	return len(code) == 2 && (s.cfg.Phones == nil || s.cfg.Phones.Region(code))
}

// maxRetentionDays is a century: what is meant to be longer is for ever.
const maxRetentionDays = 36525

// listEndpointID is the id of the endpoint that a list's webhook_url makes.
func listEndpointID(listID string) string { return event.DeriveID("setting", "list endpoint", listID) }

// syncListEndpoint makes the endpoint of a list what its webhook_url says. It
// returns the endpoint when its receiver has to be asked for consent.
func (s *Service) syncListEndpoint(d *draft, l tenant.List) (waiting delivery.Endpoint, err error) {
	e, ok := d.now.Endpoint(l.Org, listEndpointID(l.ID))
	switch {
	case l.WebhookURL == "" && ok:
		d.deleteEndpoint(e, "the list has no webhook_url any more")
		return waiting, nil
	case l.WebhookURL == "":
		return waiting, nil
	case ok && e.URL == l.WebhookURL && e.Name == l.Name:
		return waiting, nil
	case ok:
		before := e
		e.URL, e.Name, e.UpdatedAt = l.WebhookURL, l.Name, d.at
		redirected(before, &e, d.at)
		action := tenant.Updated
		asks, err := s.reconsent(d, before, &e, false)
		if asks {
			waiting = e
			if before.Enabled {
				action = tenant.Disabled
			}
		}
		d.putEndpoint(e, action, "the list's webhook_url or name changed")
		return waiting, err
	}
	secret, err := d.secret()
	if err != nil {
		return waiting, err
	}
	d.putEndpoint(delivery.Endpoint{
		ID: listEndpointID(l.ID), Org: l.Org, Name: l.Name, URL: l.WebhookURL, Dialect: "dylr", Events: []string{"call.completed"},
		ListID: l.ID, Enabled: true, Ordering: orderingEntity, SignStandard: true, IDs: idsHub,
		Secrets: []delivery.Secret{{Value: secret}}, CreatedAt: d.at, UpdatedAt: d.at,
	}, tenant.Created, "the list's webhook_url")
	return waiting, nil
}

// set applies a field of a patch; null gives the default.
func set[T any](to *T, o event.Opt[T], null T) {
	switch {
	case !o.Set:
	case o.Null:
		*to = null
	default:
		*to = o.Value
	}
}
