package deliveries_test

import (
	"bytes"
	"errors"
	"testing"

	"trunkline.dev/trunkline/adapters/internal/testenv"
	"trunkline.dev/trunkline/adapters/postgres/deliveries"
	"trunkline.dev/trunkline/adapters/postgres/internal/pgtest"
	"trunkline.dev/trunkline/commands/dispatch/storetest"
)

func TestMain(m *testing.M) { testenv.Main(m) }

func TestStoreConforms(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) storetest.Store { return deliveries.New(pgtest.Open(t, 4), plain{}) })
}

// plain seals nothing, but notices a text that is opened elsewhere.
type plain struct{}

func (plain) Seal(text []byte, about string) ([]byte, error) {
	return append([]byte(about+" "), text...), nil
}

func (plain) Open(sealed []byte, about string) ([]byte, error) {
	text, ok := bytes.CutPrefix(sealed, []byte(about+" "))
	if !ok {
		return nil, errors.New("sealed for another place")
	}
	return text, nil
}
