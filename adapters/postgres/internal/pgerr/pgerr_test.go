package pgerr_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"trunkline.dev/trunkline/adapters/postgres/internal/pgerr"
)

func TestRefused(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]bool{"22021": true, "23505": true, "54000": true, "57P01": false, "40001": false, "2": false, "": false} {
		_, got := pgerr.Refused(fmt.Errorf("writing: %w", &pgconn.PgError{Code: code}))
		if got != want {
			t.Errorf("%q: %v", code, got)
		}
	}
	if _, got := pgerr.Refused(errors.New("22021")); got {
		t.Error("an error that is not Postgres' own is refused")
	}
}
