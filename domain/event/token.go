package event

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ErrBadToken is the error of DecodePositions for a token that we did not make.
var ErrBadToken = errors.New("not a position token")

// maxTokenPositions bounds what a token can make a reader wait for: every
// partition of every topic at the largest layout we run.
const maxTokenPositions = 1024

// EncodePositions makes one opaque token of positions: what an API answers as
// Trunkline-Position. Of one partition only the furthest offset is kept,
// because having it implies having those before. No positions give "".
func EncodePositions(ps ...Position) string {
	type part struct {
		topic Topic
		id    int
	}
	furthest := make(map[part]int64, len(ps))
	order := make([]part, 0, len(ps))
	for _, p := range ps {
		k := part{p.Topic, p.Partition}
		at, seen := furthest[k]
		if !seen {
			order = append(order, k)
		}
		if !seen || p.Offset > at {
			furthest[k] = p.Offset
		}
	}
	if len(order) == 0 {
		return ""
	}
	slices.SortFunc(order, func(a, b part) int {
		if c := strings.Compare(string(a.topic), string(b.topic)); c != 0 {
			return c
		}
		return a.id - b.id
	})
	var b strings.Builder
	for i, k := range order {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%s/%d@%d", k.topic, k.id, furthest[k])
	}
	return base64.RawURLEncoding.EncodeToString([]byte(b.String()))
}

// DecodePositions reads a token of EncodePositions. Its errors are ErrBadToken.
func DecodePositions(s string) ([]Position, error) {
	raw, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(raw) == 0 {
		return nil, ErrBadToken
	}
	words := strings.Split(string(raw), ",")
	if len(words) > maxTokenPositions {
		return nil, ErrBadToken
	}
	ps := make([]Position, 0, len(words))
	for _, w := range words {
		p, err := parsePosition(w)
		if err != nil {
			return nil, err
		}
		ps = append(ps, p)
	}
	return ps, nil
}

func parsePosition(s string) (Position, error) {
	topic, rest, ok := strings.Cut(s, "/")
	partition, offset, ok2 := strings.Cut(rest, "@")
	if !ok || !ok2 || !slices.Contains(Topics(), Topic(topic)) {
		return Position{}, ErrBadToken
	}
	id, err := strconv.Atoi(partition)
	if err != nil || id < 0 {
		return Position{}, ErrBadToken
	}
	at, err := strconv.ParseInt(offset, 10, 64)
	if err != nil || at < 0 {
		return Position{}, ErrBadToken
	}
	return Position{Topic: Topic(topic), Partition: id, Offset: at}, nil
}
