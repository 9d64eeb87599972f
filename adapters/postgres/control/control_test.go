package control_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"trunkline.dev/trunkline/adapters/internal/testenv"
	"trunkline.dev/trunkline/adapters/postgres"
	"trunkline.dev/trunkline/adapters/postgres/control"
	"trunkline.dev/trunkline/adapters/postgres/internal/pgtest"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/commands/idempotencytest"
	"trunkline.dev/trunkline/commands/settings"
	"trunkline.dev/trunkline/commands/settings/settingstest"
	"trunkline.dev/trunkline/domain/tenant"
)

func TestMain(m *testing.M) { testenv.Main(m) }

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// database is a migrated database and how to reach it.
func database(t *testing.T) (*pgxpool.Pool, string) {
	t.Helper()
	url := testenv.Postgres(t)
	pool := connect(t, url)
	if err := postgres.Migrate(t.Context(), pool, quiet()); err != nil {
		t.Fatal(err)
	}
	return pool, url
}

func connect(t *testing.T, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := postgres.Open(t.Context(), url, 8)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// databaseAt connects to a database as if a test's clock were its own.
func databaseAt(t *testing.T, url string, clock *idempotencytest.Clock) *pgxpool.Pool {
	t.Helper()
	pool := pgtest.ConnectAt(t, url, 8, clock.Now())
	clock.Tell(func(now time.Time) { pgtest.SetClock(t, pool, now) })
	return pool
}

func keyring(t *testing.T) *control.Keyring {
	t.Helper()
	k, err := control.OpenKeyring(filepath.Join(t.TempDir(), "secrets.key"))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func start(t *testing.T, pool *pgxpool.Pool, k *control.Keyring, clock commands.Clock) *control.Store {
	t.Helper()
	return startWith(t, control.Config{Pool: pool, Keyring: k, Clock: clock, Log: quiet(), Reread: time.Minute})
}

func startWith(t *testing.T, cfg control.Config) *control.Store {
	t.Helper()
	s, err := control.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return s
}

func apply(t *testing.T, s settings.Store, c settings.Changes) {
	t.Helper()
	if err := s.Change(t.Context(), func(*settings.Snapshot) (settings.Changes, error) { return c, nil }); err != nil {
		t.Fatal(err)
	}
}

func TestStore(t *testing.T) {
	t.Parallel()
	settingstest.Run(t, func(t *testing.T) settings.Store {
		pool, _ := database(t)
		return start(t, pool, keyring(t), time.Now)
	})
}

func TestIdempotency(t *testing.T) {
	t.Parallel()
	_, url := database(t)
	k := keyring(t)
	idempotencytest.Run(t, func(t *testing.T, clock *idempotencytest.Clock) commands.Idempotency {
		i, err := control.NewIdempotency(control.IdempotencyConfig{Pool: databaseAt(t, url, clock), Keyring: k, Log: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		return prefixed{i, t.Name()}
	})
}

// prefixed gives each test orgs of its own in one database.
type prefixed struct {
	commands.Idempotency
	prefix string
}

func (p prefixed) Begin(ctx context.Context, org, key, route string, f [32]byte) (time.Time, *commands.StoredResponse, error) {
	return p.Idempotency.Begin(ctx, p.prefix+org, key, route, f)
}

func (p prefixed) Finish(ctx context.Context, org, key, route string, r commands.StoredResponse) error {
	return p.Idempotency.Finish(ctx, p.prefix+org, key, route, r)
}

func (p prefixed) Abandon(ctx context.Context, org, key, route string) error {
	return p.Idempotency.Abandon(ctx, p.prefix+org, key, route)
}

func TestIdempotencyBetweenProcesses(t *testing.T) {
	t.Parallel()
	_, url := database(t)
	k := keyring(t)
	clock := idempotencytest.NewClock()
	pool := databaseAt(t, url, clock)
	open := func() *control.Idempotency {
		i, err := control.NewIdempotency(control.IdempotencyConfig{Pool: pool, Keyring: k, Log: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
	ctx, late, second := t.Context(), open(), open()
	if _, r, err := late.Begin(ctx, "org", "key", "route", [32]byte{1}); r != nil || err != nil {
		t.Fatal(r, err)
	}
	clock.Advance(30 * time.Second)
	if _, r, err := second.Begin(ctx, "org", "key", "route", [32]byte{1}); r != nil || err != nil {
		t.Fatal(r, err)
	}
	want := commands.StoredResponse{Status: 200, Body: []byte("second")}
	for _, err := range []error{
		late.Finish(ctx, "org", "key", "route", commands.StoredResponse{Status: 200, Body: []byte("late")}),
		late.Abandon(ctx, "org", "key", "route"),
		second.Finish(ctx, "org", "key", "route", want),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	_, got, err := late.Begin(ctx, "org", "key", "route", [32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&want, got); diff != "" {
		t.Errorf("the answer of a request that was taken for dead counts (-want +got):\n%s", diff)
	}

	clock.Advance(24 * time.Hour)
	if n, err := second.Clean(ctx); n != 1 || err != nil {
		t.Errorf("cleaned %d, %v; want the one expired answer", n, err)
	}
}

// TestRestart reads everything back from the rows alone.
func TestRestart(t *testing.T) {
	t.Parallel()
	pool, url := database(t)
	k := keyring(t)
	apply(t, start(t, pool, k, time.Now), settingstest.Everything())

	got := settingstest.All(start(t, connect(t, url), k, time.Now).Directory().Snapshot())
	want := settingstest.Everything()
	want.Facts = nil
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSecretsAreNotReadableInTheDatabase(t *testing.T) {
	t.Parallel()
	pool, _ := database(t)
	k := keyring(t)
	apply(t, start(t, pool, k, time.Now), settingstest.Everything())
	for _, table := range []string{"orgs", "lists", "api_keys", "connections", "endpoints", "admin_outbox"} {
		var text string
		// The text of a BYTEA is hex, so the rows are read as bytes too.
		err := pool.QueryRow(t.Context(), "SELECT coalesce(string_agg(x::TEXT || encode(x::TEXT::BYTEA, 'escape'), ''), '') FROM "+table+" AS x").Scan(&text)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{"org secret", "whsec_s", "tl_z", "whsec_c", "whsec_new", "whsec_old", "Bearer x", "whsk_", "consent-token"} {
			for _, form := range []string{secret, hexOf(secret)} {
				if strings.Contains(text, form) {
					t.Errorf("%s holds %q in the clear", table, secret)
				}
			}
		}
	}

	t.Run("and cannot be moved to another row", func(t *testing.T) {
		if _, err := pool.Exec(t.Context(), "UPDATE endpoints SET endpoint_id = 'other'"); err != nil {
			t.Fatal(err)
		}
		s, err := control.New(control.Config{Pool: pool, Keyring: k, Clock: time.Now, Log: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "secrets.key") {
			t.Errorf("got %v, want a start that stops and says why", err)
		}
	})
}

// A hub that was killed is waited for by a change, but not on a database that has
// been started for its successor.
func TestTheReadersOfAFormerServerAreForgotten(t *testing.T) {
	t.Parallel()
	for alone, want := range map[bool]int{true: 1, false: 2} {
		pool, _ := database(t)
		if _, err := pool.Exec(t.Context(), "INSERT INTO settings_readers VALUES ('killed', 0, now())"); err != nil {
			t.Fatal(err)
		}
		startWith(t, control.Config{Pool: pool, Keyring: keyring(t), Clock: time.Now, Log: quiet(), Alone: alone})
		var readers int
		if err := pool.QueryRow(t.Context(), "SELECT count(*) FROM settings_readers").Scan(&readers); err != nil || readers != want {
			t.Errorf("alone %v: there are %d readers, want %d: %v", alone, readers, want, err)
		}
	}
}

func hexOf(s string) string {
	const digits = "0123456789abcdef"
	var b strings.Builder
	for i := range len(s) {
		b.WriteByte(digits[s[i]>>4])
		b.WriteByte(digits[s[i]&15])
	}
	return b.String()
}

func TestKeyring(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "secrets.key")
	opened := make(chan *control.Keyring, 8)
	for range cap(opened) {
		go func() {
			k, err := control.OpenKeyring(path)
			if err != nil {
				t.Error(err)
			}
			opened <- k
		}()
	}
	rings := make([]*control.Keyring, cap(opened))
	for i := range rings {
		rings[i] = <-opened
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("secrets.key has mode %v", info.Mode())
	}
	pool, url := database(t)
	apply(t, start(t, pool, rings[0], time.Now), settingstest.Everything())
	for _, k := range rings[1:] { // all of them must be the same key
		start(t, connect(t, url), k, time.Now)
	}
}

func TestDirectory(t *testing.T) {
	t.Parallel()
	pool, where := database(t)
	k := keyring(t)
	clock := idempotencytest.NewClock()
	here, there := start(t, pool, k, clock.Now), start(t, connect(t, where), k, clock.Now)
	all := settingstest.Everything()
	apply(t, here, all)

	t.Run("own changes are visible at once", func(t *testing.T) {
		key, org, list, ok := here.Directory().Key([32]byte{2})
		if diff := cmp.Diff([]any{all.Keys[1], all.Orgs[0], &all.Lists[0], true}, []any{key, org, list, ok}); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		conn, org, ok := here.Directory().Connection("conn")
		if diff := cmp.Diff([]any{all.Connections[0], all.Orgs[0], true}, []any{conn, org, ok}); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(all.Endpoints, here.Directory().Endpoints("org")); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})

	t.Run("the changes of another process arrive by themselves", func(t *testing.T) {
		// The re-read is a minute away: this is the notification.
		deadline := time.After(20 * time.Second)
		for there.Directory().Snapshot().Revision < 1 {
			select {
			case <-there.Directory().Changed():
			case <-deadline:
				t.Fatal("no notification arrived")
			}
		}
		e, ok := there.Directory().Endpoint("endpoint")
		if diff := cmp.Diff([]any{all.Endpoints[0], true}, []any{e, ok}); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})

	t.Run("an expired key is not found", func(t *testing.T) {
		clock.Advance(time.Hour + time.Second)
		if k, _, _, ok := here.Directory().Key([32]byte{2}); ok {
			t.Errorf("found %v, which expired", k)
		}
		if _, _, _, ok := here.Directory().Key([32]byte{1}); !ok {
			t.Error("a key without an end is not found")
		}
	})

	t.Run("it goes on answering without Postgres", func(t *testing.T) {
		shut(t, where)
		if _, ok := here.Directory().Org("org"); !ok {
			t.Error("the org is not found")
		}
		err := here.Change(t.Context(), func(*settings.Snapshot) (settings.Changes, error) { return settings.Changes{}, nil })
		if err == nil {
			t.Error("a change was accepted without a database")
		}
	})
}

// shut makes a database refuse everybody, as one that is down does.
func shut(t *testing.T, databaseURL string) {
	t.Helper()
	u, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.TrimPrefix(u.Path, "/")
	u.Path = "/postgres"
	pool := connect(t, u.String())
	if _, err := pool.Exec(t.Context(), "ALTER DATABASE "+name+" WITH ALLOW_CONNECTIONS FALSE"); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name); err != nil {
		t.Fatal(err)
	}
}

func TestTwoProcessesLoseNoChange(t *testing.T) {
	t.Parallel()
	pool, url := database(t)
	k := keyring(t)
	stores := []*control.Store{start(t, pool, k, time.Now), start(t, connect(t, url), k, time.Now)}
	apply(t, stores[0], settingstest.Everything())
	const each = 10
	done := make(chan error, len(stores))
	for _, s := range stores {
		go func() {
			var err error
			for range each {
				err = s.Change(t.Context(), func(now *settings.Snapshot) (settings.Changes, error) {
					l, _ := now.ListByID("list")
					l.Name += "."
					return settings.Changes{Lists: []tenant.List{l}}, nil
				})
				if err != nil {
					break
				}
			}
			done <- err
		}()
	}
	for range stores {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	l, _ := settingstest.Read(t, stores[0]).ListByID("list")
	if want := "Q2 Florida" + strings.Repeat(".", len(stores)*each); l.Name != want {
		t.Errorf("got %q, want %q", l.Name, want)
	}
}

// A replica that was behind has taken over, or a backup was put back: what the
// database does not have any more is not served any more, and what is changed from
// then on is.
func TestADatabaseThatWentBackIsFollowed(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		reread time.Duration
		// noticed waits until a store has looked.
		noticed func(t *testing.T, s *control.Store)
	}{
		{"by looking", 10 * time.Millisecond, func(t *testing.T, s *control.Store) {
			testenv.Eventually(t, func() error {
				if r := s.Directory().Snapshot().Revision; r != 1 {
					return fmt.Errorf("revision %d is served", r)
				}
				return nil
			})
		}},
		{"by changing", time.Hour, func(*testing.T, *control.Store) {}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			pool, _ := database(t)
			s := startWith(t, control.Config{Pool: pool, Keyring: keyring(t), Clock: time.Now, Log: quiet(), Reread: test.reread})
			list := settingstest.Everything().Lists[0]
			put := func(id string) {
				t.Helper()
				list.ID = id
				apply(t, s, settings.Changes{Lists: []tenant.List{list}})
			}
			apply(t, s, settingstest.Everything())
			for _, id := range []string{"lost", "lost too", "lost as well"} {
				put(id)
			}
			if _, err := pool.Exec(t.Context(), "WITH gone AS (DELETE FROM lists WHERE list_id LIKE 'lost%') UPDATE control_revision SET revision = 1"); err != nil {
				t.Fatal(err)
			}
			test.noticed(t, s)
			put("new")
			if _, ok := s.Directory().ListByID("new"); !ok {
				t.Error("what was changed is not served")
			}
			if _, ok := s.Directory().ListByID("lost"); ok {
				t.Error("what the database does not have is served")
			}
		})
	}
}
