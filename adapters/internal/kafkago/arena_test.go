package kafkago

import "testing"

// TestPiecesFitTheFetch: most fetches bring a record or two, which are kept for
// others to read; one that brings thousands takes large pieces.
func TestPiecesFitTheFetch(t *testing.T) {
	t.Parallel()
	var a arena
	taken := func(sizes ...int) (pieces, bytes int) {
		for _, n := range sizes {
			before := len(a.free)
			if b := a.take(n); len(b) != n || cap(b) != n {
				t.Fatalf("took %d of %d bytes, room for %d", len(b), n, cap(b))
			}
			if n > before {
				pieces, bytes = pieces+1, bytes+n+len(a.free)
			}
		}
		return pieces, bytes
	}
	if pieces, bytes := taken(36, 36, 500); pieces != 1 || bytes > firstPiece {
		t.Errorf("one record took %d pieces of %d bytes", pieces, bytes)
	}
	many := make([]int, 1000)
	for i := range many {
		many[i] = 500
	}
	if pieces, bytes := taken(many...); pieces > 40 || bytes > 600_000 {
		t.Errorf("1,000 records of 500 bytes took %d pieces of %d bytes", pieces, bytes)
	}
	if b := a.take(largePiece); len(b) != largePiece {
		t.Errorf("a record of %d bytes got %d", largePiece, len(b))
	}
}
