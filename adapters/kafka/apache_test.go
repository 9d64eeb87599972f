package kafka_test

import (
	"context"
	"crypto/tls"
	"errors"
	"strings"
	"testing"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"

	"trunkline.dev/trunkline/adapters/internal/testenv"
	"trunkline.dev/trunkline/adapters/kafka"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/commands/logtest"
	"trunkline.dev/trunkline/domain/event"
)

// TestApache runs what matters on the real thing, one after the other on one
// node: a JVM and everything beside it is more than two cores carry.
func TestApache(t *testing.T) {
	broker := testenv.ApacheKafka(t)
	t.Run("topics", func(t *testing.T) { checkTopics(t, broker.Addr()) })
	t.Run("foreign clients", func(t *testing.T) { foreignClients(t, broker.Addr()) })
	t.Run("log", func(t *testing.T) { logtest.Run(t, cluster(broker.Addr())) })
	t.Run("TLS, a login and what a user may", func(t *testing.T) { securedApache(t, broker) })
	t.Run("handed on", func(t *testing.T) { handsOnWhatTheLogHas(t, broker.Addr()) })
	t.Run("markers", func(t *testing.T) { endsBeforeMarkers(t, broker.Addr()) })
	t.Run("compression", func(t *testing.T) { compressesAttempts(t, broker.Addr()) })
	t.Run("leaving while joining", func(t *testing.T) { leavesWhileJoining(t, broker.Addr()) })
	t.Run("a stray join", func(t *testing.T) { strayJoinHoldsNothing(t, broker.Addr()) })
	t.Run("a kill", func(t *testing.T) { kill(t, broker) })
}

// securedApache does everything as a user who may do no more than README says, on
// topics that an administrator made.
func securedApache(t *testing.T, broker *testenv.Apache) {
	admin := newClient(t, broker.Addr())
	may(t, admin, broker.Addr())
	addr, authority := broker.Secured()
	ours := kafka.TLS(authority.Pool(), "", "")
	hub := secured(t, addr, ours, login(t, kafka.MechanismSCRAM512, testenv.SecuredUser, testenv.SecuredPassword))
	// What a user may is in force a moment after it is acknowledged.
	testenv.Eventually(t, func() error { return hub.EnsureTopics(t.Context()) })
	writesAndReads(t, hub, "o-secured")
	for _, test := range []struct {
		name  string
		addr  string
		tls   *tls.Config
		login sasl.Mechanism
		want  string
	}{
		{"a wrong password", addr, ours, login(t, kafka.MechanismSCRAM512, testenv.SecuredUser, "wrong"), "the login is refused (TRUNKLINE_KAFKA_SASL_USERNAME, TRUNKLINE_KAFKA_SASL_PASSWORD)"},
		{"a mechanism that is not offered", addr, ours, login(t, kafka.MechanismPlain, testenv.SecuredUser, testenv.SecuredPassword), "does not take (TRUNKLINE_KAFKA_SASL_MECHANISM)"},
		{"no login", addr, ours, nil, "wants a login (TRUNKLINE_KAFKA_SASL_MECHANISM)"},
		{"no TLS", addr, nil, login(t, kafka.MechanismSCRAM512, testenv.SecuredUser, testenv.SecuredPassword), "answers in TLS, and we speak without (TRUNKLINE_KAFKA_TLS)"},
		{"an unknown authority", addr, kafka.TLS(nil, "", ""), nil, "not trusted here (TRUNKLINE_KAFKA_TLS_CA_FILE)"},
		{"TLS where there is none", broker.Addr(), ours, nil, "may be one without (TRUNKLINE_KAFKA_TLS)"},
		{"a login where there is none", broker.Addr(), nil, login(t, kafka.MechanismPlain, testenv.SecuredUser, testenv.SecuredPassword), "has no logins (TRUNKLINE_KAFKA_SASL_MECHANISM)"},
	} {
		err := secured(t, test.addr, test.tls, test.login).Ping(t.Context())
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: the readiness is %v, want %s", test.name, err, test.want)
		}
	}
}

// may lets the secured listener's user do what the hub needs.
func may(t *testing.T, admin *kafka.Client, addr string) {
	t.Helper()
	var entries []kafkago.ACLEntry
	for resource, operations := range map[kafkago.ResourceType][]kafkago.ACLOperationType{
		kafkago.ResourceTypeTopic: {kafkago.ACLOperationTypeRead, kafkago.ACLOperationTypeWrite, kafkago.ACLOperationTypeDescribe, kafkago.ACLOperationTypeDescribeConfigs},
		kafkago.ResourceTypeGroup: {kafkago.ACLOperationTypeRead, kafkago.ACLOperationTypeDescribe},
	} {
		prefix := "trunkline."
		if resource == kafkago.ResourceTypeGroup {
			prefix = "collect-"
		}
		for _, operation := range operations {
			entries = append(entries, kafkago.ACLEntry{
				ResourceType: resource, ResourceName: prefix, ResourcePatternType: kafkago.PatternTypePrefixed,
				Principal: "User:" + testenv.SecuredUser, Host: "*", Operation: operation, PermissionType: kafkago.ACLPermissionTypeAllow,
			})
		}
	}
	api := &kafkago.Client{Addr: kafkago.TCP(addr), Transport: admin.Transport()}
	resp, err := api.CreateACLs(t.Context(), &kafkago.CreateACLsRequest{ACLs: entries})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(resp.Errors...); err != nil {
		t.Fatal(err)
	}
}

// kill shows that appends and reads go on over kill -9 of the broker, that
// nothing acknowledged is lost, and that the order of an entity holds.
func kill(t *testing.T, broker *testenv.Apache) {
	c := newClient(t, broker.Addr())
	l := newLog(t, c, kafka.LogConfig{})
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	var acknowledged []event.Position
	appended := make(chan error, 1)
	warm, back := make(chan struct{}), make(chan struct{})
	go func() {
		for n, last := 0, -1; n != last; {
			positions, err := l.Append(ctx, note("o-kill", "c-1", n))
			if errors.Is(err, commands.ErrUnavailable) && ctx.Err() == nil {
				continue // as a client would, with the same event
			}
			if err != nil {
				appended <- err
				return
			}
			acknowledged = append(acknowledged, positions...)
			if n++; n == 100 {
				close(warm)
			}
			select {
			case <-back:
				if last < 0 {
					last = n + 50
				}
			default:
			}
		}
		appended <- nil
	}()
	<-warm
	broker.Restart()
	close(back)
	if err := <-appended; err != nil {
		t.Fatal(err)
	}
	number := make(map[string]int)
	for n := range acknowledged {
		number[note("o-kill", "c-1", n).ID] = n
	}
	next := 0
	collect(t, ctx, c, event.Calls, func(all []event.Recorded) bool {
		next = 0
		for _, e := range all {
			if n, ours := number[e.ID]; ours && n == next {
				next++
			} else if ours && n > next {
				t.Errorf("%s: event %d before %d", e.Position, n, next)
			}
		}
		return next == len(acknowledged)
	})
}
