// Package crm asks customers' CRMs who an unknown party of a call is, in the
// format in which Symbo asks (seed 004), and attaches what they answer to the
// call as a fact.
//
// It refuses to hold anything up: it is told of a call after the broker has it,
// never waits, and what it has no room for it does not ask. A call is asked for
// at most once by one process; what a process had not finished when it ended is
// not asked again. Its one invariant: the same call and number give the same
// event id, so a call has one answer however often it was asked for.
package crm
