package event

import (
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// ErrToken says that a position token is not one of ours.
var ErrToken = errors.New("invalid position token")

// tokenVersion is the first byte of every token.
const tokenVersion = 1

// maxToken bounds what DecodePositions looks at, in characters. The token of
// all partitions of all topics at 64 partitions each stays below it.
const maxToken = 16 << 10

// tokenTopics gives topics a number in tokens, 1 being the first. Tokens live
// in the hands of clients: add at the end, never move an entry.
func tokenTopics() []Topic {
	return []Topic{Leads, Calls, Agents, Alerts, Messages, Contacts, Admin, Deliveries}
}

// EncodePositions makes the opaque text of a Trunkline-Position header: the
// highest offset of each partition, in URL-safe characters. No positions give
// the empty string.
func EncodePositions(positions ...Position) string {
	highest := latest(positions)
	if len(highest) == 0 {
		return ""
	}
	known := tokenTopics()
	b := []byte{tokenVersion}
	for _, p := range highest {
		n := slices.Index(known, p.Topic) + 1
		b = binary.AppendUvarint(b, uint64(n))
		if n == 0 {
			b = binary.AppendUvarint(b, uint64(len(p.Topic)))
			b = append(b, p.Topic...)
		}
		b = binary.AppendUvarint(b, uint64(p.Partition))
		b = binary.AppendUvarint(b, uint64(p.Offset))
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// DecodePositions reads what EncodePositions wrote, sorted by topic and
// partition. Anything else is ErrToken.
func DecodePositions(token string) ([]Position, error) {
	if token == "" {
		return nil, nil
	}
	if len(token) > maxToken {
		return nil, fmt.Errorf("%w: longer than %d characters", ErrToken, maxToken)
	}
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return nil, fmt.Errorf("%w: not base64url", ErrToken)
	}
	if len(b) < 2 || b[0] != tokenVersion {
		return nil, fmt.Errorf("%w: unknown version", ErrToken)
	}
	r := tokenReader{rest: b[1:]}
	var positions []Position
	for len(r.rest) > 0 && !r.failed {
		positions = append(positions, Position{Topic: r.topic(), Partition: int(r.number(1<<31 - 1)), Offset: int64(r.number(1<<63 - 1))})
	}
	// One value has one text, so that tokens can be compared and cached.
	if r.failed || EncodePositions(positions...) != token {
		return nil, fmt.Errorf("%w: damaged", ErrToken)
	}
	return positions, nil
}

// latest keeps the highest offset of each partition, in a fixed order.
func latest(positions []Position) []Position {
	sorted := slices.Clone(positions)
	slices.SortFunc(sorted, func(a, b Position) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition), cmp.Compare(b.Offset, a.Offset))
	})
	return slices.CompactFunc(sorted, func(a, b Position) bool {
		return a.Topic == b.Topic && a.Partition == b.Partition
	})
}

type tokenReader struct {
	rest   []byte
	failed bool
}

func (r *tokenReader) number(limit uint64) uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 || v > limit {
		r.failed, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *tokenReader) topic() Topic {
	known := tokenTopics()
	n := r.number(uint64(len(known)))
	if n > 0 {
		return known[n-1]
	}
	size := r.number(249) // the longest name that Kafka allows
	if uint64(len(r.rest)) < size {
		r.failed, r.rest = true, nil
		return ""
	}
	t := Topic(r.rest[:size])
	r.rest = r.rest[size:]
	return t
}
