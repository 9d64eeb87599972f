package watermill_test

import (
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/ThreeDotsLabs/watermill/pubsub/tests"

	"trunkline.dev/trunkline/adapters/internal/testenv"
)

// restartURL is how the suite's restart command, which is this binary again,
// reaches the test that owns the broker.
var restartURL = flag.String("restart-url", "", "ask here for a restart of the broker, and do nothing else")

func TestMain(m *testing.M) {
	flag.Parse()
	if *restartURL == "" {
		os.Exit(m.Run())
	}
	resp, err := http.Get(*restartURL)
	if err != nil {
		fmt.Fprintln(os.Stderr, "restarting the broker:", err)
		os.Exit(1)
	}
	_ = resp.Body.Close()
}

// TestApache runs Watermill's suite on the real thing, with two kill -9 of the
// broker under 10,000 messages.
func TestApache(t *testing.T) {
	broker := testenv.ApacheKafka(t)
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { broker.Restart() }))
	defer server.Close()
	suites(t, broker.Addr())
	t.Run("reconnect", func(t *testing.T) {
		p := pubsub{addr: broker.Addr(), group: true, book: newBook()}
		features := tests.Features{ConsumerGroups: true, Persistent: true, RestartServiceCommand: []string{os.Args[0], "-restart-url=" + server.URL}}
		tests.TestReconnect(t, tests.TestContext{TestID: tests.NewTestID(), Features: features}, p.one)
	})
}
