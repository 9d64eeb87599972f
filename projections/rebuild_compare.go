package projections

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"trunkline.dev/trunkline/domain/event"
)

// movingPatience is how long a quiet moment is waited for.
const movingPatience = time.Minute

// errMoving says that two generations could not be seen at equal checkpoints.
var errMoving = errors.New("checkpoints moved while comparing")

// compare compares two generations: by the store where it can while both move
// on, else by digests between two looks at equal checkpoints.
func compare(ctx context.Context, g Generations, a, b int) (Comparison, error) {
	if c, ok := g.(Comparer); ok {
		return c.Compare(ctx, a, b)
	}
	before, err := g.Checkpoints(ctx, a)
	if err != nil {
		return Comparison{}, err
	}
	da, err := g.Digest(ctx, a)
	if err != nil {
		return Comparison{}, err
	}
	db, err := g.Digest(ctx, b)
	if err != nil {
		return Comparison{}, err
	}
	for _, generation := range []int{a, b} {
		after, err := g.Checkpoints(ctx, generation)
		if err != nil {
			return Comparison{}, err
		}
		if !samePlaces(before, after) || !samePlaces(after, before) {
			return Comparison{}, errMoving
		}
	}
	return pair(da, db), nil
}

// samePlaces reports whether b is everywhere where a is. A partition without
// events may have a checkpoint of 0, or none yet.
func samePlaces(a, b map[event.Topic]map[int]int64) bool {
	for topic, parts := range a {
		for partition, next := range parts {
			if b[topic][partition] != next {
				return false
			}
		}
	}
	return true
}

// pair sets the digests of two generations side by side, by table.
func pair(a, b []TableDigest) Comparison {
	var c Comparison
	other := make(map[string]TableDigest, len(b))
	for _, d := range b {
		other[d.Table] = d
	}
	for _, d := range a {
		t := TableComparison{Table: d.Table, A: d, B: other[d.Table]}
		c.Tables = append(c.Tables, t)
		if t.A.Rows != t.B.Rows || t.A.Hash != t.B.Hash {
			c.Differences = append(c.Differences, fmt.Sprintf("%s: %d rows live, %d rows new", t.Table, t.A.Rows, t.B.Rows))
		}
	}
	return c
}

// describe puts a comparison in words.
func describe(c Comparison) string {
	var lines []string
	for _, t := range c.Tables {
		if t.A.Rows != t.B.Rows || t.A.Hash != t.B.Hash {
			lines = append(lines, fmt.Sprintf("%s differs (%d rows live, %d rows new)", t.Table, t.A.Rows, t.B.Rows))
		}
	}
	return strings.Join(append(lines, c.Differences...), "\n")
}

// IsMoving reports whether a comparison failed because the generations moved:
// ask again.
func IsMoving(err error) bool { return errors.Is(err, errMoving) }
