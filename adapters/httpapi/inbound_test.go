package httpapi_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"trunkline.dev/trunkline/adapters/httpapi"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/tenant"
)

type connections map[string]tenant.Connection

func (c connections) Connection(id string) (tenant.Connection, tenant.Org, bool) {
	conn, ok := c[id]
	return conn, tenant.Org{ID: conn.Org, Secret: []byte("0123456789abcdef0123456789abcdef")}, ok
}

// toy is a dialect of one fact: a started call, "id from".
type toy struct{}

func (toy) Verify(c tenant.Connection, h http.Header, _ []byte) error {
	if h.Get("X-Toy") != c.Secret {
		return errors.New("X-Toy does not match")
	}
	return nil
}

func (toy) Decode(_ tenant.Connection, _ http.Header, body []byte) ([]commands.Fact, error) {
	id, from, ok := strings.Cut(string(body), " ")
	if !ok {
		return nil, &commands.Invalid{Errors: []commands.FieldError{{Detail: "expected two words"}}}
	}
	return []commands.Fact{{Payload: call.Started{Direction: "inbound", From: from}, ExternalID: id, EventKey: id}}, nil
}

func withConnections(_ *api, c *httpapi.Config) {
	c.Connections = connections{
		"toy":     {ID: "toy", Org: "org-1", Dialect: "toy", Secret: "s"},
		"unheard": {ID: "unheard", Org: "org-1", Dialect: "unheard"},
	}
	c.Inbound = func(name string) (httpapi.Inbound, bool) { return toy{}, name == "toy" }
	c.Lists = lists{}
}

type lists struct{}

func (lists) List(string, string) (tenant.List, bool) { return tenant.List{}, false }

func TestInboundWebhooks(t *testing.T) {
	t.Parallel()
	a := newAPI(t, withConnections)
	for range 2 {
		if got := a.do("POST", "/in/toy", "7 5551234567", "X-Toy", "s", "Authorization", "", "Idempotency-Key", "theirs"); got.Status != 200 {
			t.Fatalf("%d %s", got.Status, got.Body)
		}
	}
	events := a.log.Events(event.Calls)
	if len(events) != 2 || events[0].ID != events[1].ID || events[0].Subject != events[1].Subject {
		t.Fatalf("the same webhook twice: %+v", events)
	}
	if e := events[0]; e.Source != "connection/toy" || !strings.Contains(string(e.Data), `"connection_id":"toy"`) || !strings.Contains(string(e.Data), `"from":"+15551234567"`) {
		t.Errorf("appended %+v %s", e.Envelope, e.Data)
	}
	for name, tc := range map[string]struct {
		path, body, secret string
		status             int
	}{
		"bad signature":      {"/in/toy", "7 5551234567", "x", 401},
		"junk":               {"/in/toy", "junk", "s", 400},
		"an impossible fact": {"/in/toy", strings.Repeat("7", 600) + " 5551234567", "s", 400},
		"too large":          {"/in/toy", strings.Repeat("x", 1<<20+1), "s", 413},
		"no connection":      {"/in/none", "7 5551234567", "s", 404},
		"no dialect":         {"/in/unheard", "7 5551234567", "", 404},
	} {
		t.Run(name, func(t *testing.T) {
			a.refused(a.do("POST", tc.path, tc.body, "X-Toy", tc.secret), tc.status)
		})
	}
	if n := len(a.log.Events(event.Topics()...)); n != 2 {
		t.Errorf("%d events: a refused webhook was appended", n)
	}
	none := newAPI(t, nil)
	none.refused(none.do("POST", "/in/toy", "7 5551234567", "X-Toy", "s"), 404)
}
