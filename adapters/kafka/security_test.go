package kafka_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go/sasl"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"trunkline.dev/trunkline/adapters/internal/testenv"
	"trunkline.dev/trunkline/adapters/kafka"
	"trunkline.dev/trunkline/domain/event"
)

func login(t *testing.T, mechanism, username, password string) sasl.Mechanism {
	t.Helper()
	m, err := kafka.Login(mechanism, username, password)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// secured is a client that may fail to connect.
func secured(t *testing.T, addr string, c *tls.Config, m sasl.Mechanism) *kafka.Client {
	t.Helper()
	client, err := kafka.NewClient(kafka.Config{Brokers: []string{addr}, Partitions: partitions, TLS: c, SASL: m, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// writesAndReads has a client make topics, append, and read in a group.
func writesAndReads(t *testing.T, c *kafka.Client, org string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := c.EnsureTopics(ctx); err != nil {
		t.Fatal(err)
	}
	l := newLog(t, c, kafka.LogConfig{})
	for n := range 3 {
		if _, err := l.Append(ctx, note(org, "c-1", n)); err != nil {
			t.Fatal(err)
		}
	}
	collect(t, ctx, c, event.Calls, func(all []event.Recorded) bool {
		ours := 0
		for _, e := range all {
			if e.Org == org {
				ours++
			}
		}
		return ours == 3
	})
	if err := c.Ping(ctx); err != nil {
		t.Error(err)
	}
}

func TestALoginIsMadeByEveryMechanism(t *testing.T) {
	t.Parallel()
	authority := testenv.NewAuthority(t)
	cert, _, _ := authority.Issue("broker", "127.0.0.1")
	for _, mechanism := range kafka.Mechanisms() {
		t.Run(mechanism, func(t *testing.T) {
			t.Parallel()
			k := fake(t, kfake.TLS(&tls.Config{Certificates: []tls.Certificate{cert}}), kfake.EnableSASL(), kfake.Superuser(mechanism, "hub", "sesame"))
			writesAndReads(t, secured(t, k.ListenAddrs()[0], kafka.TLS(authority.Pool(), "", ""), login(t, mechanism, "hub", "sesame")), "o-login")
		})
	}
}

// TestEachBrokerShowsItsOwnCertificate finds a cluster by one name and is told
// another by the brokers: each must show a certificate of the one that it is called by.
func TestEachBrokerShowsItsOwnCertificate(t *testing.T) {
	t.Parallel()
	authority := testenv.NewAuthority(t)
	byName, _, _ := authority.Issue("name", "localhost")
	byAddr, _, _ := authority.Issue("addr", "127.0.0.1")
	var mu sync.Mutex
	named := make(map[string]bool)
	k := fake(t, kfake.TLS(&tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		mu.Lock()
		defer mu.Unlock()
		named[hello.ServerName] = true
		if hello.ServerName == "localhost" {
			return &byName, nil
		}
		return &byAddr, nil
	}}))
	_, port, err := net.SplitHostPort(k.ListenAddrs()[0])
	if err != nil {
		t.Fatal(err)
	}
	writesAndReads(t, secured(t, "localhost:"+port, kafka.TLS(authority.Pool(), "", ""), nil), "o-names")
	mu.Lock()
	defer mu.Unlock()
	if !named["localhost"] || !named[""] || len(named) != 2 {
		t.Errorf("asked for %v; an address is no server name", named)
	}
}

func TestARenewedCertificateIsShownWithoutARestart(t *testing.T) {
	t.Parallel()
	authority := testenv.NewAuthority(t)
	cert, _, _ := authority.Issue("broker", "127.0.0.1")
	_, certFile, keyFile := authority.Issue("hub")
	var mu sync.Mutex
	shown := make(map[string]bool)
	k := fake(t, kfake.TLS(&tls.Config{
		Certificates: []tls.Certificate{cert}, ClientCAs: authority.Pool(), ClientAuth: tls.RequireAndVerifyClientCert,
		VerifyConnection: func(s tls.ConnectionState) error {
			mu.Lock()
			defer mu.Unlock()
			shown[s.PeerCertificates[0].SerialNumber.String()] = true
			return nil
		},
	}))
	serial := func() string {
		pair, err := kafka.Certificate(certFile, keyFile)
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(pair.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		return c.SerialNumber.String()
	}
	c := secured(t, k.ListenAddrs()[0], kafka.TLS(authority.Pool(), certFile, keyFile), nil)
	former := serial()
	writesAndReads(t, c, "o-former")
	authority.Issue("hub")
	renewed := serial()
	writesAndReads(t, c, "o-renewed") // its group has connections of its own
	mu.Lock()
	defer mu.Unlock()
	if !shown[former] || !shown[renewed] {
		t.Errorf("brokers saw %v, want %s and then %s", shown, former, renewed)
	}
}

// TestWhyABrokerIsNotReachedIsSaid has what is wrong between us and a listener. An
// operator reads it in the start's log and in /readyz.
func TestWhyABrokerIsNotReachedIsSaid(t *testing.T) {
	t.Parallel()
	authority := testenv.NewAuthority(t)
	ours := kafka.TLS(authority.Pool(), "", "")
	cert, _, _ := authority.Issue("broker", "127.0.0.1")
	other, _, _ := authority.Issue("other", "kafka.example.com")
	strangers := testenv.NewAuthority(t)
	_, strangeCert, strangeKey := strangers.Issue("stranger")
	inTLS := kfake.TLS(&tls.Config{Certificates: []tls.Certificate{cert}})
	wantsCert := kfake.TLS(&tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: authority.Pool(), ClientAuth: tls.RequireAndVerifyClientCert})
	withLogin := []kfake.Opt{kfake.EnableSASL(), kfake.Superuser(kafka.MechanismSCRAM512, "hub", "sesame"), kfake.Superuser(kafka.MechanismPlain, "hub", "sesame")}
	for _, test := range []struct {
		name   string
		broker []kfake.Opt
		tls    *tls.Config
		login  sasl.Mechanism
		want   string
	}{
		{"a wrong password, SCRAM", withLogin, nil, login(t, kafka.MechanismSCRAM512, "hub", "wrong"), "while we log in: the username, the password or the mechanism is wrong"},
		{"a wrong password, PLAIN", withLogin, nil, login(t, kafka.MechanismPlain, "hub", "wrong"), "while we log in: the username, the password or the mechanism is wrong"},
		{"a mechanism that is not offered", withLogin, nil, login(t, kafka.MechanismSCRAM256, "hub", "sesame"), "while we log in"},
		{"no login", withLogin, nil, nil, "wants a login (TRUNKLINE_KAFKA_SASL_MECHANISM)"},
		{"no login, in TLS", append(withLogin, inTLS), ours, nil, "wants a login (TRUNKLINE_KAFKA_SASL_MECHANISM)"},
		{"a login where there is none", nil, nil, login(t, kafka.MechanismPlain, "hub", "sesame"), "while we log in"},
		{"an unknown authority", []kfake.Opt{inTLS}, kafka.TLS(strangers.Pool(), "", ""), nil, "an authority that is not trusted here (TRUNKLINE_KAFKA_TLS_CA_FILE)"},
		{"another's certificate", []kfake.Opt{kfake.TLS(&tls.Config{Certificates: []tls.Certificate{other}})}, ours, nil, "not for this name"},
		{"no TLS where there is", []kfake.Opt{inTLS}, nil, nil, "(TRUNKLINE_KAFKA_TLS)"},
		{"TLS where there is none", nil, ours, nil, "may be one without (TRUNKLINE_KAFKA_TLS)"},
		{"no certificate of ours", []kfake.Opt{wantsCert}, ours, nil, "certificate of us (TRUNKLINE_KAFKA_TLS_CERT_FILE)"},
		{"a certificate of ours that is not trusted", []kfake.Opt{wantsCert}, kafka.TLS(authority.Pool(), strangeCert, strangeKey), nil, "perhaps our certificate (TRUNKLINE_KAFKA_TLS_CERT_FILE)"},
		{"a certificate of ours that is gone", []kfake.Opt{wantsCert}, kafka.TLS(authority.Pool(), "/nowhere.pem", "/nowhere.key"), nil, "reading certificate and key of /nowhere.pem"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			addr := fake(t, test.broker...).ListenAddrs()[0]
			c := secured(t, addr, test.tls, test.login)
			says := func(err error) error {
				if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
					return fmt.Errorf("want %q: %w", test.want, err)
				}
				return nil
			}
			testenv.Eventually(t, func() error { // as a start tries again
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				return says(c.EnsureTopics(ctx))
			})
			if err := says(c.Ping(t.Context())); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestALoginThatHangsEnds has a broker that tells its versions and then nothing more:
// kafka-go would wait for good, and no metadata would come any more.
func TestALoginThatHangsEnds(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ended := make(chan error, 10)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				ended <- tellVersions(conn)
			}()
		}
	}()
	c := secured(t, l.Addr().String(), nil, login(t, kafka.MechanismPlain, "hub", "sesame"))
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := c.Ping(ctx); err == nil {
		t.Error("ready")
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("the connection ended by %v", err)
		}
	case <-time.After(patience):
		t.Error("the connection is still open")
	}
}

// tellVersions answers the first request and reads to the end.
func tellVersions(conn net.Conn) error {
	head := make([]byte, 12) // length, key, version, correlation id
	if _, err := io.ReadFull(conn, head); err != nil {
		return err
	}
	if _, err := io.CopyN(io.Discard, conn, int64(binary.BigEndian.Uint32(head))-8); err != nil {
		return err
	}
	body := append(head[8:12:12], 0, 0, 0, 0, 0, 2)
	for _, key := range []kmsg.Key{kmsg.SASLHandshake, kmsg.SASLAuthenticate} {
		body = binary.BigEndian.AppendUint16(body, uint16(key))
		body = append(body, 0, 0, 0, 1)
	}
	if _, err := conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, conn)
	return err
}
