package recordings

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
)

// Verdict is what was found under a recording's key.
type Verdict struct {
	// Intact says that the bytes are those that the log speaks of.
	Intact bool
	// SHA256 and Bytes are of what is there; "" and 0 when nothing is.
	SHA256 string
	Bytes  int64
	// Reason says in words what is wrong.
	Reason string
}

// Verify reads the bytes of a stored recording and compares them with what its
// fact says. Its errors are those of Open; that the bytes are missing is a
// verdict.
func (s *Service) Verify(ctx context.Context, org, id string) (Verdict, error) {
	a, err := s.Open(ctx, org, id)
	if errors.Is(err, ErrNoBlob) {
		return Verdict{Reason: "the bytes are not there"}, nil
	}
	if err != nil {
		return Verdict{}, err
	}
	defer a.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, a)
	if err != nil {
		return Verdict{}, fmt.Errorf("reading recording %s: %w", id, err)
	}
	v := Verdict{SHA256: hex.EncodeToString(sum.Sum(nil)), Bytes: n}
	switch {
	case n != a.Size:
		v.Reason = fmt.Sprintf("there are %d bytes, %d were stored", n, a.Size)
	case v.SHA256 != a.SHA256:
		v.Reason = "the SHA-256 is " + v.SHA256 + ", what was stored had " + a.SHA256
	default:
		v.Intact = true
	}
	return v, nil
}
