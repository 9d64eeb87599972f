package readmodel_test

import (
	"flag"
	"testing"

	"trunkline.dev/trunkline/adapters/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// A check of a property makes tables here, which the usual hundred would make
// minutes of; the flag on the command line still wins.
var _ = flag.Set("rapid.checks", "20")
