// Package projections turns events into rows: the definitions of the read
// models, which are pure, and the runner that applies them.
//
// A projection depends on its events only: no clock, no look-up elsewhere, no
// order between topics assumed. A projector has no HTTP client and no way to
// get one (the import law forbids it), so a rebuild of a million events sends
// no webhook. Applying an event twice equals applying it once.
package projections
