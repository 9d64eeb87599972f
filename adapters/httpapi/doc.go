// Package httpapi is the hub's HTTP side: it turns requests into commands and
// queries, and their outcomes into answers. It holds no business rule. One
// table, routes.go, lists every route; one file, problem.go, turns errors into
// answers; schemas/openapi.yaml documents each route, and a test holds the two
// to each other. A caller is told yes only after the broker acknowledged.
package httpapi
