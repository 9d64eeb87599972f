package clickhouse

import "hash/maphash"

// filter is a Bloom filter of entities: it may take one that it never saw for
// known, never the other way round. Its size is fixed at 512 KiB, which is
// wrong once in fifty at half a million entities; past that it only saves less.
type filter struct {
	seed maphash.Seed
	bits []uint64
}

const (
	filterBits   = 1 << 22
	filterProbes = 4
)

// newFilter makes an empty filter. It takes its memory with the first entity:
// most partitions have none of the kind.
func newFilter() *filter { return &filter{seed: maphash.MakeSeed()} }

// add reports whether the entity may have been added before, and adds it.
func (f *filter) add(key entityKey) (known bool) {
	if f.bits == nil {
		f.bits = make([]uint64, filterBits/64)
	}
	h := maphash.Comparable(f.seed, key)
	step := h>>32 | 1
	known = true
	for range filterProbes {
		word, bit := h%filterBits/64, uint64(1)<<(h%64)
		known = known && f.bits[word]&bit != 0
		f.bits[word] |= bit
		h += step
	}
	return known
}
