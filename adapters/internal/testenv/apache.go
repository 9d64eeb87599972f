package testenv

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"text/template"
	"time"

	"github.com/segmentio/kafka-go"

	"trunkline.dev/trunkline/adapters/internal/supervise"
)

// apachePatience bounds one start: after kill -9 on a busy machine Apache Kafka
// recovers its log for up to half a minute.
const apachePatience = 2 * time.Minute

// apacheProperties is a single node that is broker and controller, with the
// replication factors of its own topics cut to one, and the pauses that make no
// sense for one node taken out.
var apacheProperties = template.Must(template.New("").Parse(`process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{{.Controller}}
listeners=PLAINTEXT://{{.Addr}},CONTROLLER://{{.Controller}},SECURED://{{.Secured}}
advertised.listeners=PLAINTEXT://{{.Addr}},SECURED://{{.Secured}}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SECURED:SASL_SSL
listener.name.secured.sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.secured.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.secured.ssl.keystore.type=PEM
listener.name.secured.ssl.keystore.location={{.Keystore}}
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
inter.broker.listener.name=PLAINTEXT
log.dirs={{.Dir}}/data
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=16777216
`))

// Apache is a single node of Apache Kafka 4.1.0, with the same address and log
// over kills and restarts. Its methods are for the test's own goroutine.
type Apache struct {
	t         *testing.T
	classpath string
	dir       string
	addr      string
	secured   string
	authority *Authority
	process   *supervise.Process // nil while killed
}

// ApacheKafka starts an Apache Kafka for this test. It takes about ten seconds:
// where the broker does not matter, Kafka is quicker.
func ApacheKafka(t *testing.T) *Apache {
	t.Helper()
	root, err := repository()
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	cache := filepath.Join(root, ".cache", "kafka-4.1.0")
	if _, err := os.Stat(filepath.Join(cache, "complete")); err != nil {
		t.Fatal("testenv: Apache Kafka is not installed: run `make deps-test`")
	}
	a := &Apache{t: t, classpath: filepath.Join(cache, "lib", "*"), dir: t.TempDir()}
	addrs, err := freeAddrs(3)
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	a.addr, a.secured, a.authority = addrs[0], addrs[1], NewAuthority(t)
	var properties bytes.Buffer
	if err := apacheProperties.Execute(&properties, map[string]string{
		"Addr": a.addr, "Secured": a.secured, "Controller": addrs[2], "Dir": a.dir, "Keystore": a.keystore(),
	}); err != nil {
		t.Fatalf("testenv: %v", err)
	}
	if err := os.WriteFile(a.properties(), properties.Bytes(), 0o600); err != nil {
		t.Fatalf("testenv: %v", err)
	}
	// Any 22 characters of base64 are a cluster id.
	format := a.java("-Xmx128m", "kafka.tools.StorageTool", "format", "-t", "trunklineAAQACAAAAAAAA", "-c", a.properties(),
		"--add-scram", "SCRAM-SHA-512=[name="+SecuredUser+",password="+SecuredPassword+"]")
	if out, err := format.CombinedOutput(); err != nil {
		t.Fatalf("testenv: formatting Apache Kafka's log: %v: %s", err, out)
	}
	t.Cleanup(a.Kill)
	a.Restart()
	return a
}

// Addr is the broker's host:port.
func (a *Apache) Addr() string { return a.addr }

// The user of the secured listener. What it may do, the test says.
const (
	SecuredUser     = "hub"
	SecuredPassword = "sesame"
)

// Secured is the host:port of the listener that wants TLS and a login by
// SCRAM-SHA-512, and whose certificate the authority has signed.
func (a *Apache) Secured() (addr string, authority *Authority) { return a.secured, a.authority }

// keystore is the certificate of the secured listener and its key, in one file.
func (a *Apache) keystore() string {
	_, certFile, keyFile := a.authority.Issue("broker", "127.0.0.1")
	var both []byte
	for _, file := range []string{keyFile, certFile} {
		text, err := os.ReadFile(file)
		if err != nil {
			a.t.Fatalf("testenv: %v", err)
		}
		both = append(both, text...)
	}
	file := filepath.Join(a.dir, "broker.pem")
	if err := os.WriteFile(file, both, 0o600); err != nil {
		a.t.Fatalf("testenv: %v", err)
	}
	return file
}

// Kill ends the broker by kill -9 and returns when it is gone.
func (a *Apache) Kill() {
	if a.process == nil {
		return
	}
	a.process.Signal(os.Kill)
	<-a.process.Exited()
	a.process = nil
}

// Restart kills the broker if it runs, starts it on the same log and returns when
// it answers. Groups may be refused for some seconds more.
func (a *Apache) Restart() {
	a.t.Helper()
	a.Kill()
	output, err := os.OpenFile(a.output(), os.O_CREATE|os.O_TRUNC|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		a.t.Fatalf("testenv: %v", err)
	}
	defer output.Close()
	cmd := a.java("-Xms128m", "-Xmx512m", "kafka.Kafka", a.properties())
	cmd.Stdout, cmd.Stderr = output, output
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if a.process, err = supervise.Exec(cmd); err != nil {
		a.t.Fatalf("testenv: %v", err)
	}
	if err := a.awaitReady(); err != nil {
		a.t.Fatalf("testenv: %v", err)
	}
}

func (a *Apache) awaitReady() error {
	ctx, cancel := context.WithTimeout(context.Background(), apachePatience)
	defer cancel()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-a.process.Exited():
			out, _ := os.ReadFile(a.output())
			return fmt.Errorf("the Apache Kafka ended: %w: %s", a.process.Err(), tail(out))
		case <-ctx.Done():
			return fmt.Errorf("waiting for Apache Kafka: %w", ctx.Err())
		case <-ticker.C:
		}
		if a.answers(ctx) {
			return nil
		}
	}
}

// answers says whether the broker is in its own cluster's metadata: its port
// opens some seconds before that.
func (a *Apache) answers(ctx context.Context) bool {
	transport := &kafka.Transport{DialTimeout: time.Second}
	defer transport.CloseIdleConnections()
	client := &kafka.Client{Addr: kafka.TCP(a.addr), Transport: transport, Timeout: 2 * time.Second}
	meta, err := client.Metadata(ctx, &kafka.MetadataRequest{})
	return err == nil && len(meta.Brokers) == 1
}

func (a *Apache) properties() string { return filepath.Join(a.dir, "server.properties") }
func (a *Apache) output() string     { return filepath.Join(a.dir, "output") }

// java prepares a JVM that is quick to start rather than fast.
func (a *Apache) java(args ...string) *exec.Cmd {
	cmd := exec.Command("java", append([]string{"-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", a.classpath}, args...)...)
	cmd.Dir = a.dir
	return cmd
}

func tail(out []byte) string {
	const most = 2000
	if len(out) > most {
		out = out[len(out)-most:]
	}
	return strings.TrimSpace(string(out))
}

// freeAddrs holds all ports at once, so that they differ.
func freeAddrs(n int) ([]string, error) {
	var addrs []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		addrs = append(addrs, l.Addr().String())
	}
	return addrs, nil
}
