package dispatch

// RefusedError says that a store cannot keep something of a batch, and never will: a
// text with a character that it has no place for, a key that is too long. It names
// what, so that the rest need not wait for it. Nothing of the batch was done.
type RefusedError struct {
	// Rows are the keys of rows that are refused, Endpoints those whose health is.
	Rows, Endpoints []string
	Err             error
}

func (e *RefusedError) Error() string { return "the store refuses it: " + e.Err.Error() }

func (e *RefusedError) Unwrap() error { return e.Err }
