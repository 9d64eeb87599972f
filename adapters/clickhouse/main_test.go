package clickhouse

import (
	"testing"

	"trunkline.dev/trunkline/adapters/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }
