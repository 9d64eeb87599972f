package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/caarlos0/env/v11"

	"trunkline.dev/trunkline/adapters/blob"
	"trunkline.dev/trunkline/adapters/kms"
)

// Config is every setting of the hub. The tags are the documentation: README,
// .env.example and deployments/config.md are generated from them.
type Config struct {
	HTTPAddr  string   `env:"TRUNKLINE_HTTP_ADDR" envDefault:"127.0.0.1:8080" desc:"Where the API and the health pages listen."`
	DataDir   string   `env:"TRUNKLINE_DATA_DIR" envDefault:"./data" desc:"Holds all embedded state, the generated keys and passwords."`
	AdminKey  string   `env:"TRUNKLINE_ADMIN_KEY" secret:"true" desc:"The first org's admin API key. Unset: generated once, printed, kept in <data dir>/admin.key (mode 0600). A start with another key ends the former one, whichever way it came, and nothing else does; keys made by the API stay. All hubs of one installation have the same."`
	PublicURL string   `env:"TRUNKLINE_PUBLIC_URL" desc:"What our own links (recordings, inbound URLs) begin with. Unset: http://<TRUNKLINE_HTTP_ADDR>."`
	Roles     []string `env:"TRUNKLINE_ROLES" envDefault:"api,projector,webhooks" desc:"Which roles this process runs: api, projector, webhooks. Without api it answers /healthz, /readyz and /metrics only. serve --role overrides it."`

	KafkaBrokers  []string `env:"TRUNKLINE_KAFKA_BROKERS" desc:"host:port list of a Kafka cluster (3.x or later). Unset: an embedded broker."`
	PostgresURL   string   `env:"TRUNKLINE_POSTGRES_URL" secret:"true" desc:"postgres:// URL of a database (15 or later). Unset: an embedded server."`
	ClickHouseURL string   `env:"TRUNKLINE_CLICKHOUSE_URL" secret:"true" desc:"clickhouse:// (native) or http:// URL of a server (24 or later). Unset: an embedded engine."`
	BlobURL       string   `env:"TRUNKLINE_BLOB_URL" desc:"Where recordings and exports are kept (s3://, gs://, azblob://, file://). Unset: <data dir>/blobs."`

	KafkaAddr            string        `env:"TRUNKLINE_KAFKA_ADDR" envDefault:"127.0.0.1:9092" desc:"Where the embedded Kafka listens."`
	PostgresAddr         string        `env:"TRUNKLINE_POSTGRES_ADDR" envDefault:"127.0.0.1:15432" desc:"Where the embedded Postgres listens."`
	ClickHouseAddr       string        `env:"TRUNKLINE_CLICKHOUSE_ADDR" envDefault:"127.0.0.1:8123" desc:"Where the embedded ClickHouse listens for HTTP."`
	ClickHouseNativeAddr string        `env:"TRUNKLINE_CLICKHOUSE_NATIVE_ADDR" envDefault:"127.0.0.1:9000" desc:"Where the embedded ClickHouse listens for its native protocol."`
	ClickHouseBIPassword string        `env:"TRUNKLINE_CLICKHOUSE_BI_PASSWORD" secret:"true" desc:"Password of the analysts' read-only ClickHouse user bi. Unset: generated into <data dir>/clickhouse-bi.password."`
	ClickHouseBITime     time.Duration `env:"TRUNKLINE_CLICKHOUSE_BI_TIME" envDefault:"5m" desc:"How long a query of bi may take in the embedded ClickHouse unless it sets max_execution_time itself, in whole seconds; then it is ended."`
	ClickHouseEngine     string        `env:"TRUNKLINE_CLICKHOUSE_ENGINE" desc:"Path of libchdb.so, the embedded ClickHouse engine. Unset: looked for below .cache/engine and beside the program (make deps fetches it)."`

	KafkaPartitions  int `env:"TRUNKLINE_KAFKA_PARTITIONS" desc:"Partitions per topic, fixed when a topic is created. Unset: 4 embedded, 64 on a cluster."`
	KafkaReplication int `env:"TRUNKLINE_KAFKA_REPLICATION" desc:"Replicas per partition of topics that the hub creates. Unset: 1 embedded, else 3 or the number of brokers if that is less."`

	KafkaTLS           bool   `env:"TRUNKLINE_KAFKA_TLS" envDefault:"false" desc:"Speaks TLS with the brokers of TRUNKLINE_KAFKA_BROKERS, whose certificates must be of the host names that they advertise."`
	KafkaTLSCAFile     string `env:"TRUNKLINE_KAFKA_TLS_CA_FILE" desc:"PEM file of the authorities that sign the brokers' certificates; read at the start. Unset: those that the system trusts."`
	KafkaTLSCertFile   string `env:"TRUNKLINE_KAFKA_TLS_CERT_FILE" desc:"PEM file of our certificate, where brokers want one (mutual TLS). It is read for every new connection: a renewed one needs no restart."`
	KafkaTLSKeyFile    string `env:"TRUNKLINE_KAFKA_TLS_KEY_FILE" desc:"PEM file of the private key of TRUNKLINE_KAFKA_TLS_CERT_FILE, not encrypted."`
	KafkaSASLMechanism string `env:"TRUNKLINE_KAFKA_SASL_MECHANISM" desc:"How we log in to the brokers: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512. Unset: no login."`
	KafkaSASLUsername  string `env:"TRUNKLINE_KAFKA_SASL_USERNAME" desc:"Whom we log in as."`
	KafkaSASLPassword  string `env:"TRUNKLINE_KAFKA_SASL_PASSWORD" secret:"true" desc:"The password of TRUNKLINE_KAFKA_SASL_USERNAME."`

	WebhooksAllowCIDRs []netip.Prefix `env:"TRUNKLINE_WEBHOOKS_ALLOW_CIDRS" desc:"Addresses that the outbound guard lets through although they are not public, for example 127.0.0.0/8."`
	WebhooksHeadOfLine time.Duration  `env:"TRUNKLINE_WEBHOOKS_HEAD_OF_LINE" envDefault:"0s" desc:"How long a failing delivery may hold back the later ones of its entity (a call, a lead) to the same webhook, from its first attempt on. 0s: until it is exhausted."`
	WebhooksAllowHTTP  bool           `env:"TRUNKLINE_WEBHOOKS_ALLOW_HTTP" envDefault:"false" desc:"Lets webhooks go to http:// URLs."`
	SettleDisposition  time.Duration  `env:"TRUNKLINE_SETTLE_DISPOSITION" envDefault:"120s" desc:"How long after its end a call's disposition is waited for before call.settled is appended."`
	SettleTranscript   time.Duration  `env:"TRUNKLINE_SETTLE_TRANSCRIPT" envDefault:"60s" desc:"How long after its end a call's transcript or summary is waited for."`
	SettleRecording    time.Duration  `env:"TRUNKLINE_SETTLE_RECORDING" envDefault:"20s" desc:"How long our copy of a recording is waited for before receivers are told of the recording all the same."`
	LeadsPerMinute     int            `env:"TRUNKLINE_LEADS_PER_MINUTE" envDefault:"60" desc:"Requests a minute that one list key may make to POST /api/public/leads."`
	AlertEvery         time.Duration  `env:"TRUNKLINE_ALERT_EVERY" envDefault:"10s" desc:"The time between two looks at alert rules."`
	HistoryHotWindow   time.Duration  `env:"TRUNKLINE_HISTORY_HOT_WINDOW" envDefault:"2160h" desc:"How long the history of an entity stays in Postgres; older history is read from ClickHouse."`

	SecretsKMS []string `env:"TRUNKLINE_SECRETS_KMS" desc:"URI of the key that seals the secrets' keyring: aws-kms://<key ARN>, gcp-kms://<resource name>, hcvault://[host:port]/<mount>/keys/<name>. Of several the first seals and the others open, to move from one to another; file is none. Unset: <data dir>/secrets.key as it is."`

	ProfileAddr string `env:"TRUNKLINE_PROFILE_ADDR" desc:"Where Go's profiles (/debug/pprof/) are served. Unset: nowhere."`

	LogLevel  string `env:"TRUNKLINE_LOG_LEVEL" envDefault:"info" desc:"debug, info, warn or error."`
	LogFormat string `env:"TRUNKLINE_LOG_FORMAT" envDefault:"text" desc:"text or json."`

	// publicURLSet: PublicURL was given and is not our own guess.
	publicURLSet bool
}

// loadConfig reads the environment. Its error is one line for each mistake and
// names the variable.
func loadConfig() (Config, error) {
	var c Config
	if err := env.Parse(&c); err != nil {
		return c, unparsed(err)
	}
	if err := c.complete(); err != nil {
		return c, err
	}
	return c, c.validate()
}

// unparsed names the variables whose text cannot be read; the library names the
// fields.
func unparsed(err error) error {
	all, ok := errors.AsType[env.AggregateError](err)
	if !ok {
		return fmt.Errorf("reading the settings: %w", err)
	}
	var errs []error
	for _, e := range all.Errors {
		p, ok := errors.AsType[env.ParseError](e)
		if f, known := reflect.TypeFor[Config]().FieldByName(p.Name); ok && known {
			e = fmt.Errorf("%s: %w", f.Tag.Get("env"), p.Err)
		}
		errs = append(errs, e)
	}
	return errors.Join(errs...)
}

func (c *Config) complete() error {
	dir, err := filepath.Abs(c.DataDir)
	if err != nil {
		return fmt.Errorf("TRUNKLINE_DATA_DIR: %w", err)
	}
	c.DataDir = dir
	if c.publicURLSet = c.PublicURL != ""; !c.publicURLSet {
		c.PublicURL = c.baseURL()
	}
	c.PublicURL = strings.TrimRight(c.PublicURL, "/")
	if c.KafkaPartitions == 0 {
		c.KafkaPartitions = 64
		if c.embeddedKafka() {
			c.KafkaPartitions = 4
		}
	}
	return nil
}

var blobSchemes = []string{"s3", "gs", "azblob", "file"}

var roles = []string{"api", "projector", "webhooks"}

func (c Config) validate() error {
	var errs []error
	bad := func(name, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: "+format, append([]any{name}, args...)...))
	}
	for _, a := range []struct{ name, addr string }{
		{"TRUNKLINE_HTTP_ADDR", c.HTTPAddr},
		{"TRUNKLINE_KAFKA_ADDR", c.KafkaAddr},
		{"TRUNKLINE_POSTGRES_ADDR", c.PostgresAddr},
		{"TRUNKLINE_CLICKHOUSE_ADDR", c.ClickHouseAddr},
		{"TRUNKLINE_CLICKHOUSE_NATIVE_ADDR", c.ClickHouseNativeAddr},
	} {
		if _, _, err := net.SplitHostPort(a.addr); err != nil {
			bad(a.name, "expected host:port, got %q", a.addr)
		}
	}
	if strings.TrimSpace(c.AdminKey) != c.AdminKey || strings.ContainsFunc(c.AdminKey, noHeader) {
		bad("TRUNKLINE_ADMIN_KEY", "expected a key that a request's header can carry: ASCII, without white space around it (a file's last line break?)")
	}
	if c.ProfileAddr != "" {
		if _, _, err := net.SplitHostPort(c.ProfileAddr); err != nil {
			bad("TRUNKLINE_PROFILE_ADDR", "expected host:port, got %q", c.ProfileAddr)
		}
	}
	for _, b := range c.KafkaBrokers {
		host, port, err := net.SplitHostPort(b)
		if _, notANumber := strconv.ParseUint(port, 10, 16); err != nil || notANumber != nil || strings.ContainsFunc(host, unicode.IsSpace) {
			bad("TRUNKLINE_KAFKA_BROKERS", "expected host:port, got %q", b)
		}
	}
	c.validateKafkaAccess(bad)
	for _, u := range []struct {
		name, value string
		schemes     []string
	}{
		{"TRUNKLINE_PUBLIC_URL", c.PublicURL, []string{"http", "https"}},
		{"TRUNKLINE_POSTGRES_URL", c.PostgresURL, []string{"postgres", "postgresql"}},
		{"TRUNKLINE_CLICKHOUSE_URL", c.ClickHouseURL, []string{"clickhouse", "tcp", "http", "https"}},
	} {
		if u.value == "" {
			continue
		}
		p, err := url.Parse(u.value)
		if err != nil || p.Hostname() == "" || !slices.Contains(u.schemes, p.Scheme) {
			bad(u.name, "expected a URL that begins with %s://", strings.Join(u.schemes, ":// or "))
		}
	}
	if u, err := url.Parse(c.BlobURL); c.BlobURL != "" && (err != nil || !slices.Contains(blobSchemes, u.Scheme)) {
		bad("TRUNKLINE_BLOB_URL", "expected a URL that begins with %s://", strings.Join(blobSchemes, ":// or "))
	} else if c.BlobURL != "" {
		if err := blob.Check(c.BlobURL); err != nil {
			bad("TRUNKLINE_BLOB_URL", "%v", err)
		}
	}
	for _, uri := range c.SecretsKMS {
		if err := kms.Check(uri); err != nil && uri != noKMS {
			bad("TRUNKLINE_SECRETS_KMS", "%v or %s", err, noKMS)
		}
	}
	for _, r := range c.Roles {
		if !slices.Contains(roles, r) {
			bad("TRUNKLINE_ROLES", "unknown role %q; the roles are %s", r, strings.Join(roles, ", "))
		}
	}
	if len(c.Roles) == 0 {
		bad("TRUNKLINE_ROLES", "expected at least one of %s", strings.Join(roles, ", "))
	}
	if c.KafkaPartitions < 1 || c.KafkaPartitions > 10_000 {
		bad("TRUNKLINE_KAFKA_PARTITIONS", "expected 1 to 10000, got %d", c.KafkaPartitions)
	}
	if c.KafkaReplication < 0 {
		bad("TRUNKLINE_KAFKA_REPLICATION", "expected 1 or more, got %d", c.KafkaReplication)
	}
	if c.embeddedKafka() && c.KafkaReplication > 1 {
		bad("TRUNKLINE_KAFKA_REPLICATION", "expected 1, because the embedded Kafka is one broker, got %d", c.KafkaReplication)
	}
	if c.WebhooksHeadOfLine < 0 {
		bad("TRUNKLINE_WEBHOOKS_HEAD_OF_LINE", "expected 0s or more, got %s", c.WebhooksHeadOfLine)
	}
	if c.SettleDisposition <= 0 {
		bad("TRUNKLINE_SETTLE_DISPOSITION", "expected more than 0s, got %s", c.SettleDisposition)
	}
	if c.SettleTranscript <= 0 {
		bad("TRUNKLINE_SETTLE_TRANSCRIPT", "expected more than 0s, got %s", c.SettleTranscript)
	}
	if c.SettleRecording <= 0 {
		bad("TRUNKLINE_SETTLE_RECORDING", "expected more than 0s, got %s", c.SettleRecording)
	}
	if c.LeadsPerMinute < 1 {
		bad("TRUNKLINE_LEADS_PER_MINUTE", "expected 1 or more, got %d", c.LeadsPerMinute)
	}
	if c.ClickHouseBITime < time.Second || c.ClickHouseBITime%time.Second != 0 {
		bad("TRUNKLINE_CLICKHOUSE_BI_TIME", "expected whole seconds from 1s on, got %s", c.ClickHouseBITime)
	}
	if c.AlertEvery < time.Second || c.AlertEvery > time.Minute || c.AlertEvery%time.Second != 0 {
		bad("TRUNKLINE_ALERT_EVERY", "expected whole seconds from 1s to 1m, got %s", c.AlertEvery)
	}
	if c.HistoryHotWindow < 31*24*time.Hour {
		bad("TRUNKLINE_HISTORY_HOT_WINDOW", "expected 744h (31 days) or more, because history is kept by the month, got %s", c.HistoryHotWindow)
	}
	if _, err := parseLevel(c.LogLevel); err != nil {
		bad("TRUNKLINE_LOG_LEVEL", "expected debug, info, warn or error, got %q", c.LogLevel)
	}
	if c.LogFormat != "text" && c.LogFormat != "json" {
		bad("TRUNKLINE_LOG_FORMAT", "expected text or json, got %q", c.LogFormat)
	}
	return errors.Join(errs...)
}

// noHeader reports whether a header cannot carry a character, or is sent with other bytes
// by one client than by another.
func noHeader(r rune) bool { return r > unicode.MaxASCII || unicode.IsControl(r) }

func (c Config) embeddedKafka() bool      { return len(c.KafkaBrokers) == 0 }
func (c Config) embeddedPostgres() bool   { return c.PostgresURL == "" }
func (c Config) embeddedClickHouse() bool { return c.ClickHouseURL == "" }
func (c Config) has(role string) bool     { return slices.Contains(c.Roles, role) }

// blobURL is where recordings are kept.
func (c Config) blobURL() string {
	if c.BlobURL != "" {
		return c.BlobURL
	}
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(c.file("blobs"))}).String()
}

// baseURL is where this machine finds the API. An address without a host listens
// everywhere, and a URL needs one.
func (c Config) baseURL() string {
	if strings.HasPrefix(c.HTTPAddr, ":") {
		return "http://localhost" + c.HTTPAddr
	}
	return "http://" + c.HTTPAddr
}

// file is a path in the data directory.
func (c Config) file(name string) string { return filepath.Join(c.DataDir, name) }

// readOrCreate returns the content of a small secret file of the data
// directory, written once with mode 0600, and on the disk when it is returned.
func readOrCreate(path string, make func() (string, error)) (value string, created bool, err error) {
	b, err := os.ReadFile(path)
	if err == nil {
		if value = strings.TrimSpace(string(b)); value == "" {
			return "", false, fmt.Errorf("reading %s: the file is empty; delete it to have a new one made", path)
		}
		return value, false, nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return "", false, fmt.Errorf("reading %s: %w", path, err)
	}
	if value, err = make(); err != nil {
		return "", false, err
	}
	if err := keep(path, value, (*os.File).Sync); err != nil {
		return "", false, fmt.Errorf("writing %s: %w", path, err)
	}
	return value, true, nil
}

// keep writes a secret file that gets its name when it is whole and on the disk: after
// a power cut an empty one stops the start, and one that is gone is made anew, with a
// key that is in nobody's hands.
func keep(path, value string, sync func(*os.File) error) error {
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.WriteString(value + "\n"); err == nil {
		err = sync(f)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(sync(dir), dir.Close())
}
