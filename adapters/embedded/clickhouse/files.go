package clickhouse

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // for the two templates
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"text/template"

	"github.com/google/uuid"

	"trunkline.dev/trunkline/adapters/internal/durable"
)

//go:embed config.xml.tmpl
var configXML string

//go:embed users.xml.tmpl
var usersXML string

// listenSQL is the first thing that the engine runs. HTTP comes last, so that an
// answered ping means that both ports are open.
const listenSQL = "SYSTEM START LISTEN TCP;\nSYSTEM START LISTEN HTTP;\n"

// hubGrants is all that the hub's user may do. Never TABLE ENGINE ON *: it would
// let ENGINE = File read and write any path of this machine.
var hubGrants = []string{
	"GRANT ALL ON " + Database + ".*",
	"GRANT CREATE DATABASE ON *.*",
	"GRANT SELECT ON system.*",
	"GRANT SYSTEM FLUSH LOGS, KILL QUERY ON *.*",
	"GRANT TABLE ENGINE ON MergeTree",
	"GRANT TABLE ENGINE ON ReplacingMergeTree",
	"GRANT TABLE ENGINE ON AggregatingMergeTree",
	"GRANT TABLE ENGINE ON SummingMergeTree",
	"GRANT TABLE ENGINE ON Null",
}

// settings is what the two templates are filled from.
type settings struct {
	Dir                  string
	Host                 string
	HTTPPort, NativePort int
	MaxMemory, BIMemory  uint64
	BISeconds, BIQueries int
	Password, BIPassword string
	Grants               []string
}

// files are the paths that the engine's command line names.
type files struct {
	config, users, listen, output, status string
}

func filesIn(dir string) files {
	etc := filepath.Join(dir, "etc")
	return files{
		config: filepath.Join(etc, "config.xml"),
		users:  filepath.Join(etc, "users.xml"),
		listen: filepath.Join(etc, "listen.sql"),
		output: filepath.Join(dir, "engine.out"),
		status: filepath.Join(dir, "data", "status"),
	}
}

// write puts the engine's configuration into dir.
func (s settings) write() error {
	metadata := filepath.Join(s.Dir, "data", "metadata")
	for _, d := range []string{filepath.Join(s.Dir, "etc"), metadata} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return fmt.Errorf("preparing the embedded ClickHouse: %w", err)
		}
	}
	// Without this file the system database lives in memory, and a query_log of
	// an earlier start on disk then cannot be opened.
	system := filepath.Join(metadata, "system.sql")
	if _, err := os.Stat(system); errors.Is(err, fs.ErrNotExist) {
		ddl := "ATTACH DATABASE system UUID '" + uuid.NewString() + "' ENGINE = Atomic\n"
		if err := durable.Write(system, []byte(ddl), os.Rename); err != nil {
			return fmt.Errorf("preparing the embedded ClickHouse: %w", err)
		}
	}
	config, err := render(configXML, s)
	if err != nil {
		return err
	}
	users, err := render(usersXML, s)
	if err != nil {
		return err
	}
	f := filesIn(s.Dir)
	for path, content := range map[string][]byte{
		f.config: config,
		f.users:  users,
		f.listen: []byte(listenSQL),
	} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return fmt.Errorf("preparing the embedded ClickHouse: %w", err)
		}
	}
	return nil
}

func render(text string, s settings) ([]byte, error) {
	t, err := template.New("").Funcs(template.FuncMap{"x": xmlText, "sha256": sha256Hex}).Parse(text)
	if err != nil {
		return nil, fmt.Errorf("reading a ClickHouse template: %w", err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, s); err != nil {
		return nil, fmt.Errorf("writing the ClickHouse configuration: %w", err)
	}
	return b.Bytes(), nil
}

func xmlText(s string) (string, error) {
	var b bytes.Buffer
	err := xml.EscapeText(&b, []byte(s))
	return b.String(), err
}

func sha256Hex(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}
