// Package schemas carries the public contracts inside the binary: event
// schemas, API descriptions and the DDL of both databases. It holds no logic.
package schemas

import "embed"

//go:generate go run ../cmd/schemagen -root ..

// Postgres holds the goose migrations of the read models, the control plane
// and the delivery state.
//
//go:embed postgres/*.sql
var Postgres embed.FS

// ClickHouse holds the tables of the analytics and of the delivery log. The
// numbered files are run once each start, in order; the others are templates
// for the builds of a read model (see clickhouse/README.md).
//
//go:embed clickhouse/*.sql
var ClickHouse embed.FS

// ClickHouseGuide describes the ClickHouse tables to analysts. Its queries are
// run by a test.
//
//go:embed clickhouse/README.md
var ClickHouseGuide string

// Events holds the JSON Schema of each event type, events/<type>.json, and one
// plausible example of its data, events/examples/<type>.json.
//
//go:embed events/*.json events/examples/*.json
var Events embed.FS

// AsyncAPI describes the topics. It is written from the catalogue.
//
//go:embed asyncapi.yaml
var AsyncAPI []byte

// OpenAPI describes the HTTP API. It is the source; /openapi.json is derived.
//
//go:embed openapi.yaml
var OpenAPI []byte
