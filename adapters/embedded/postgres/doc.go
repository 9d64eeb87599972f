// Package postgres is the Postgres that runs when none is configured: a server of
// the installed binaries, or of fetched ones, as a child process with its data in
// the hub's data directory. It refuses to be reached without a password, by unix
// sockets, or as a superuser: the hub's role owns its database and nothing else.
//
// Its invariant: a start never finds an orphan in its way. The server is told to
// end when this process dies, and one that still runs on our data is ended first.
package postgres
