// Package clickhouse is the ClickHouse that runs when none is configured: the
// engine itself, out of libchdb, in a child process that is this very binary
// started again. The child serves ClickHouse's own HTTP and native protocols, so
// every client of a real server talks to it unchanged. It refuses to be more than
// one modest node: no cluster, no users made by SQL.
//
// Its invariant: the child lives no longer than this process. It waits on a pipe
// whose other end only this process holds; the kernel closes it whatever happens.
package clickhouse
