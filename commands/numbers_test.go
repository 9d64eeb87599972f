package commands_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"trunkline.dev/trunkline/adapters/memory"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/event"
)

// Postgres reads JSON numbers as numeric, to 16,383 digits behind the point and an
// exponent of nine digits, zero too: one other and `state::jsonb` fails for the table.
func TestNumbersThatPostgresCannotReadAreRefused(t *testing.T) {
	t.Parallel()
	for number, fits := range map[string]bool{
		"0": true, "-0": true, "0.0": true, "0e0": true, "4.9e-324": true, "1.7976931348623157e308": true, "123456789012345678901234567890": true,
		"1e400": false, "1e-400": false, "1e-20000": false, "0e-20000": false, "0e9999999999": false, "-0.0E-99999999999999999999": false,
		"0." + strings.Repeat("1", 17_000): false,
	} {
		for _, value := range []string{number, `{"a":["` + number + `",` + number + `]}`} {
			log := memory.NewLog(1)
			r := newRecorder(t, log, nil)
			_, err := r.UpsertLeads(context.Background(), caller(), commands.UpsertLeads{Body: []byte(`{"phone":"+15551234567","score":` + value + `}`)})
			invalid, refused := errors.AsType[*commands.Invalid](err)
			switch {
			case fits && err != nil:
				t.Errorf("%.40s: %v", value, err)
			case !fits && (!refused || invalid.Errors[0].Pointer != "/custom_fields/score" || len(log.Events(event.Leads)) != 0):
				t.Errorf("%.40s: %v, want a refusal that names it", value, err)
			}
		}
	}
}
