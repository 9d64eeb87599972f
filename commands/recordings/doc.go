// Package recordings takes the audio of calls into our own keeping: fetches it
// from where a source says it is, takes it from who uploads it, holds it,
// deletes it when its time is over, and opens it for whoever may have it. What
// becomes of a recording is a fact of its call. It knows neither the database
// nor the blob store. Its one invariant: a recording is said to be stored only
// when its bytes are durable and their SHA-256 is known.
package recordings
