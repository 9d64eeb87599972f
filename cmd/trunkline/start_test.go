package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestAWrongSettingStopsTheStart starts hubs that must not run: each says in one
// line which setting is wrong.
func TestAWrongSettingStopsTheStart(t *testing.T) {
	t.Parallel()
	for name, values := range map[string][]string{
		"TRUNKLINE_HTTP_ADDR":              {"8080", "nonsense"},
		"TRUNKLINE_KAFKA_ADDR":             {"9092"},
		"TRUNKLINE_POSTGRES_ADDR":          {"nonsense"},
		"TRUNKLINE_CLICKHOUSE_ADDR":        {"8123"},
		"TRUNKLINE_CLICKHOUSE_NATIVE_ADDR": {"9000"},
		"TRUNKLINE_KAFKA_BROKERS":          {"kafka", "a:9092,b"},
		"TRUNKLINE_POSTGRES_URL":           {"mysql://localhost/x", "localhost:5432"},
		"TRUNKLINE_CLICKHOUSE_URL":         {"postgres://localhost/x"},
		"TRUNKLINE_BLOB_URL":               {"nonsense", "ftp://example.com/x", "file://recordings/of/calls", "file:recordings", "s3:///recordings"},
		"TRUNKLINE_PUBLIC_URL":             {"hub.example.com", "ftp://hub.example.com"},
		"TRUNKLINE_ROLES":                  {"api,cook"},
		"TRUNKLINE_KAFKA_PARTITIONS":       {"-1", "many", "100000"},
		"TRUNKLINE_KAFKA_REPLICATION":      {"-1", "three"},
		"TRUNKLINE_WEBHOOKS_ALLOW_CIDRS":   {"127.0.0.1/64", "localhost"},
		"TRUNKLINE_WEBHOOKS_ALLOW_HTTP":    {"perhaps"},
		"TRUNKLINE_SETTLE_DISPOSITION":     {"120", "-1s", "soon"},
		"TRUNKLINE_WEBHOOKS_HEAD_OF_LINE":  {"-1s", "10"},
		"TRUNKLINE_SETTLE_TRANSCRIPT":      {"0s"},
		"TRUNKLINE_LEADS_PER_MINUTE":       {"0", "sixty"},
		"TRUNKLINE_HISTORY_HOT_WINDOW":     {"1h"},
		"TRUNKLINE_LOG_LEVEL":              {"loud"},
		"TRUNKLINE_LOG_FORMAT":             {"xml"},
	} {
		for _, value := range values {
			t.Run(name+"="+value, func(t *testing.T) {
				t.Parallel()
				h := newHub(t, map[string]string{name: value})
				refusedStart(t, h, 2, name)
				if entries, err := os.ReadDir(h.dir); err != nil || len(entries) > 0 {
					t.Errorf("it left %v, %v", entries, err)
				}
			})
		}
	}
}

// refusedStart starts a hub that must end at once with one line that has the words.
func refusedStart(t *testing.T, h *hub, wantCode int, words ...string) {
	t.Helper()
	code, said := h.ends(t)
	if code != wantCode {
		t.Errorf("exit code %d, want %d", code, wantCode)
	}
	if strings.Count(said, "\n") != 1 {
		t.Errorf("it says more or less than one line: %q", said)
	}
	for _, word := range words {
		if !strings.Contains(said, word) {
			t.Errorf("%q is not in what it says: %q", word, said)
		}
	}
}

// TestAServiceThatIsAwayIsSaid starts a hub whose Kafka is not there: its log and its
// readiness say so, and why.
func TestAServiceThatIsAwayIsSaid(t *testing.T) {
	t.Parallel()
	nobody := freePorts(t, 1)[0]
	h := newHub(t, map[string]string{
		"TRUNKLINE_KAFKA_BROKERS": nobody, "TRUNKLINE_POSTGRES_URL": "postgres://hub@" + nobody + "/hub", "TRUNKLINE_CLICKHOUSE_URL": "http://" + nobody + "/hub",
	})
	h.launch()
	eventually(t, "word of Kafka", func(ctx context.Context) error {
		_, ready, err := h.get(ctx, "/readyz")
		for _, said := range []string{string(ready), h.out.String()} {
			if !strings.Contains(said, "Kafka") || !strings.Contains(said, "refused") {
				return fmt.Errorf("it says %q, %w", said, err)
			}
		}
		return nil
	})
}

func TestASecondHubOnOneDataDirectoryIsRefusedInOneLine(t *testing.T) {
	t.Parallel()
	first := newHub(t, nil)
	first.start()
	second := newHub(t, map[string]string{"TRUNKLINE_DATA_DIR": first.env["TRUNKLINE_DATA_DIR"]})
	refusedStart(t, second, 1, "TRUNKLINE_DATA_DIR", first.env["TRUNKLINE_DATA_DIR"], "in use by another hub")
	if status, body, err := first.get(t.Context(), "/readyz"); err != nil || status != http.StatusOK {
		t.Errorf("the first one: %d %s, %v", status, body, err)
	}
}

func TestABusyPortStopsTheStart(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, name := range []string{
		"TRUNKLINE_HTTP_ADDR", "TRUNKLINE_KAFKA_ADDR", "TRUNKLINE_POSTGRES_ADDR", "TRUNKLINE_CLICKHOUSE_ADDR", "TRUNKLINE_CLICKHOUSE_NATIVE_ADDR",
	} {
		t.Run(name, func(t *testing.T) {
			h := newHub(t, map[string]string{name: l.Addr().String()})
			code, said := h.ends(t)
			lines := strings.Split(strings.TrimSpace(said), "\n")
			if last := lines[len(lines)-1]; code != 1 || !strings.Contains(last, name) || !strings.Contains(last, "in use") && !strings.Contains(last, "taken") {
				t.Errorf("exit code %d, it says %s", code, said)
			}
		})
	}
}

// TestAPlainUserRunsAHub runs a hub as nobody in particular, with the outbound
// guard as it is when nobody opens it, and an admin key of its own making.
func TestAPlainUserRunsAHub(t *testing.T) {
	h := newHub(t, nil)
	for _, name := range []string{"TRUNKLINE_ADMIN_KEY", "TRUNKLINE_WEBHOOKS_ALLOW_CIDRS", "TRUNKLINE_WEBHOOKS_ALLOW_HTTP"} {
		delete(h.env, name)
	}
	h.env["HOME"] = h.dir
	if os.Getuid() == 0 { // else this is a plain user already
		const nobody = 65534
		h.user = &syscall.Credential{Uid: nobody, Gid: nobody}
		h.binary = copyProgram(t, h.program(t))
		if err := os.Chown(h.dir, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	h.start()
	file := filepath.Join(h.env["TRUNKLINE_DATA_DIR"], "admin.key")
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("admin.key has mode %v", info.Mode())
	}
	key, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	admin := h.as(t, strings.TrimSpace(string(key)))
	if !strings.Contains(h.out.String(), admin.key) {
		t.Errorf("the first start does not print the admin key: %s", h.out)
	}
	lead := admin.post("/v1/leads", object{"phone": "(415) 555-0100", "name": "Sally Sample"}).want(http.StatusOK)
	admin.after(lead, "/v1/leads/"+lead.text("leads", 0, "id")).want(http.StatusOK)
	guarded(t, admin)
	if code := h.terminate(); code != 0 {
		t.Errorf("SIGTERM: exit code %d:\n%s", code, h.out)
	}
	h.start()
	if strings.Contains(h.out.String(), admin.key) {
		t.Error("the second start prints the admin key again")
	}
	admin.get("/v1/leads/" + lead.text("leads", 0, "id")).want(http.StatusOK)
	if code := h.terminate(); code != 0 {
		t.Errorf("SIGTERM: exit code %d:\n%s", code, h.out)
	}

	// An operator's own key takes the place of the generated one.
	made := h.as(t, "another-admin-key-of-this-hub")
	h.env["TRUNKLINE_ADMIN_KEY"] = made.key
	h.start()
	made.get("/v1/leads/" + lead.text("leads", 0, "id")).want(http.StatusOK)
	admin.get("/v1/leads").want(http.StatusUnauthorized)
}

// guarded tries to make the hub talk to where it must not.
func guarded(t *testing.T, admin caller) {
	t.Helper()
	for _, url := range []string{
		"http://example.com/", "https://127.0.0.1/", "https://[::1]/", "https://10.0.0.1/", "https://172.16.0.1/", "https://192.168.0.1/", "https://169.254.169.254/",
		"https://100.64.0.1/", "https://0.0.0.0/", "https://[::ffff:127.0.0.1]/", "https://[64:ff9b::7f00:1]/", "https://[fe80::1]/", "https://[fd00::1]/", "https://2130706433/", "https://0x7f.1/",
	} {
		a := admin.post("/v1/webhooks", object{"name": "x", "url": url, "dialect": "trunkline", "events": list{"*"}})
		if a.status != http.StatusBadRequest {
			t.Errorf("a webhook to %s: %d %s", url, a.status, a.body)
			continue
		}
		if got := a.text("errors", 0, "pointer"); got != "/url" {
			t.Errorf("a webhook to %s: the error is at %q", url, got)
		}
	}
	// A name that resolves to a private address is refused when it is called.
	hook := admin.post("/v1/webhooks", object{"name": "x", "url": "https://localhost/", "dialect": "trunkline", "events": list{"*"}})
	if hook.status == http.StatusBadRequest {
		return // refused even earlier
	}
	called := admin.post("/v1/webhooks/"+hook.want(http.StatusCreated).text("id")+"/test", nil).want(http.StatusOK)
	if called.text("error") == "" || called.at("status_code") != nil {
		t.Errorf("a test call to localhost: %s", called.body)
	}
}

// copyProgram makes the program one that every user may run: the directory of a
// test binary is its owner's.
func copyProgram(t *testing.T, from string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "trunkline-program-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	to := filepath.Join(dir, "trunkline")
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	return to
}
