//go:build soak

package main

import (
	"testing"

	"trunkline.dev/trunkline/cmd/internal/simulate"
)

// TestSoakADayThroughSixtyKills is the long form of the kill test: about ten
// minutes. `make soak` runs it.
func TestSoakADayThroughSixtyKills(t *testing.T) {
	dayThroughKills(t, 60, simulate.Options{Agents: 60, Hours: 8, Speed: 48, Seed: 11})
}
