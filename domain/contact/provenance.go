package contact

import "time"

// Provenance is where the value of a field comes from.
type Provenance struct {
	EventID string `json:"event_id"`
	// OccurredAt is zero where the source does not say when (see Created.Undated).
	OccurredAt time.Time `json:"occurred_at,omitzero"`
	Source     string    `json:"source"`
}

// Origin is an event of which fields are left, and which: an address book tells many
// of them at once, so that this is a fraction of an entry for each.
type Origin struct {
	Provenance
	// Fields are named as in JSON; a key of the source's own is
	// "source_data.<key>". A cleared field stands here too.
	Fields []string `json:"fields"`
}

// Origins are where the fields of a contact come from, in the order of the log.
type Origins []Origin

// ByField is the provenance of each field.
func (o Origins) ByField() map[string]Provenance {
	all := make(map[string]Provenance)
	for _, from := range o {
		for _, field := range from.Fields {
			all[field] = from.Provenance
		}
	}
	return all
}

// with returns the origins after an event that set some fields. It changes none of
// those before, which are another state's.
func (o Origins) with(from Provenance, won []string) Origins {
	if len(won) == 0 {
		return o
	}
	set := make(map[string]bool, len(won))
	for _, field := range won {
		set[field] = true
	}
	all := make(Origins, 0, len(o)+1)
	for _, former := range o {
		var left []string
		for _, field := range former.Fields {
			if !set[field] {
				left = append(left, field)
			}
		}
		if left != nil {
			all = append(all, Origin{former.Provenance, left})
		}
	}
	return append(all, Origin{from, won})
}

// merge is one event's.
type merge struct {
	from  Provenance
	known map[string]Provenance
	won   []string
}

// wins reports whether the event sets a field: the newest occurred_at does, and
// of equal ones the later in the log.
func (m *merge) wins(field string) bool {
	if p, known := m.known[field]; known && m.from.OccurredAt.Before(p.OccurredAt) {
		return false
	}
	m.won = append(m.won, field)
	return true
}
