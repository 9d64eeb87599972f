package watch

import (
	"encoding/binary"
	"time"
)

// fetched are the recordings that were stored or deleted lately, by the hour in which
// we heard of it. Their sources tell of them again with each change of the call, which
// does not make them wait to be fetched. Of each there are the first four bytes of its
// short form and nothing else, since there are as many as an org has calls in a day:
// among 100,000 of them, one of 40,000 new ones is taken for one of these.
type fetched map[moment][]byte

// add keeps a recording of which we hear at a moment.
func (f *fetched) add(id string, at time.Time) {
	if f.has(id) {
		return
	}
	if *f == nil {
		*f = make(fetched)
	}
	hour := momentOf(at.Truncate(time.Hour))
	(*f)[hour] = binary.BigEndian.AppendUint32((*f)[hour], uint32(short(id)>>32))
}

func (f *fetched) has(id string) bool {
	want := uint32(short(id) >> 32)
	for _, ids := range *f {
		for ; len(ids) >= 4; ids = ids[4:] {
			if binary.BigEndian.Uint32(ids) == want {
				return true
			}
		}
	}
	return false
}

// forget drops what is older than goneFor.
func (f *fetched) forget(now time.Time) {
	for hour := range *f {
		if now.Sub(hour.time()) > goneFor+time.Hour {
			delete(*f, hour)
		}
	}
}
