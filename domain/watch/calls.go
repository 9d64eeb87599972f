package watch

import (
	"encoding/json"
	"hash/fnv"
	"time"
	"unique"
)

// calls are the calls that are open, or ended lately, by short forms of their
// ids. There are as many as an org has calls in an hour, and a day's that nobody
// ends, so what is kept of one is little, and nothing that the collector of
// garbage must follow but the campaign.
type calls map[uint64]openCall

// openCall is a call that is open, or ended lately.
type openCall struct {
	Campaign campaign `json:"campaign,omitzero"`
	Started  moment   `json:"started,omitempty"`
	// Ended is when we heard of the end; zero while it is open.
	Ended moment `json:"ended,omitempty"`
	// Heard is when we first heard of it.
	Heard    moment `json:"heard"`
	Inbound  bool   `json:"inbound,omitempty"`
	Answered bool   `json:"answered,omitempty"`
}

// short is the short form of an id.
func short(id string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(id))
	return h.Sum64()
}

// moment is a time in microseconds since 1970, zero if it is not known.
type moment int64

// momentOf is a time that is known. Who tells of the first microsecond of 1970 has
// a clock that stands still.
func momentOf(t time.Time) moment {
	if m := moment(t.UnixMicro()); m != 0 {
		return m
	}
	return 1
}

func (m moment) time() time.Time { return time.UnixMicro(int64(m)).UTC() }

// campaign is a campaign's name, of which all its calls share one copy.
type campaign struct{ name unique.Handle[string] }

func campaignOf(name string) campaign {
	if name == "" {
		return campaign{}
	}
	return campaign{unique.Make(name)}
}

func (c campaign) String() string {
	if c == (campaign{}) {
		return ""
	}
	return c.name.Value()
}

// MarshalText implements encoding.TextMarshaler.
func (c campaign) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (c *campaign) UnmarshalText(b []byte) error {
	*c = campaignOf(string(b))
	return nil
}

// UnmarshalJSON reads what a watch wrote, also before calls had short forms.
func (o *Org) UnmarshalJSON(b []byte) error {
	type plain Org
	var was struct {
		*plain
		Calls map[string]struct {
			Campaign string    `json:"campaign"`
			Started  time.Time `json:"started"`
			Inbound  bool      `json:"inbound"`
			Answered bool      `json:"answered"`
			Ended    time.Time `json:"ended"`
			Heard    time.Time `json:"heard"`
		} `json:"calls"`
	}
	was.plain = (*plain)(o)
	if err := json.Unmarshal(b, &was); err != nil {
		return err
	}
	o.makeMaps()
	for id, c := range was.Calls {
		is := openCall{Campaign: campaignOf(c.Campaign), Inbound: c.Inbound, Answered: c.Answered, Heard: momentOf(c.Heard)}
		if !c.Started.IsZero() {
			is.Started = momentOf(c.Started)
		}
		if !c.Ended.IsZero() {
			is.Ended = momentOf(c.Ended)
		}
		o.Open[short(id)] = is
	}
	return nil
}

func (o *Org) makeMaps() {
	if o.Open == nil {
		o.Open = make(calls)
	}
	if o.Agents == nil {
		o.Agents = make(map[string]Agent)
	}
	if o.Links == nil {
		o.Links = make(map[string]time.Time)
	}
	if o.Counts == nil {
		o.Counts = make(map[string]Counts)
	}
}
