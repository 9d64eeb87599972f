package broker

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"sync"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/segmentio/kafka-go/compress"
)

// The codecs of a batch.
const (
	uncompressed = iota
	byGzip
	bySnappy
	byLZ4
	byZstd
)

// maxWindow is the memory that a zstd stream may ask of who reads it: what zstd's
// own program grants.
const maxWindow = 128 << 20

var (
	errCompressed = errors.New("not what the codec writes")
	zstdReaders   = sync.Pool{New: func() any {
		z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			panic(err) // an option of ours
		}
		return z
	}}
)

// expanded reads what is compressed, piece by piece: what it says of its own size
// takes no memory.
func expanded(codec uint16, b []byte) io.ReadCloser {
	// Not bytes.Buffer, which the decoder of zstd would expand as a whole.
	r := bytes.NewReader(b)
	switch codec {
	case uncompressed:
		return io.NopCloser(r)
	case byGzip:
		return (&compress.GzipCodec).NewReader(r)
	case bySnappy:
		return io.NopCloser(&snappyReader{left: b, blocks: bytes.HasPrefix(b, xerial)})
	case byLZ4:
		return (&compress.Lz4Codec).NewReader(r)
	case byZstd:
		z := zstdReaders.Get().(*zstd.Decoder)
		return &zstdReader{Decoder: z, err: z.Reset(r)}
	default:
		return io.NopCloser(failing{})
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errCompressed }

// zstdReader gives its decoder back when it is closed.
type zstdReader struct {
	*zstd.Decoder
	err error
}

func (z *zstdReader) Read(p []byte) (int, error) {
	if z.err != nil {
		return 0, z.err
	}
	return z.Decoder.Read(p)
}

func (z *zstdReader) Close() error {
	err := z.Reset(nil)
	zstdReaders.Put(z.Decoder)
	return err
}

// Snappy comes as one block, or as Java writes it: a head of 16 bytes, then blocks,
// each behind its size.
var xerial = []byte("\x82SNAPPY\x00")

const xerialHead = 16

type snappyReader struct {
	left   []byte // the blocks that are not read yet
	blocks bool   // there is a head, and sizes
	begun  bool
	plain  []byte // what is left of the block that is read
}

func (s *snappyReader) Read(p []byte) (int, error) {
	for len(s.plain) == 0 {
		block, err := s.next()
		if err != nil {
			return 0, err
		}
		// Its own word for how long it is; no block expands further than that to 64 of
		// a copy's three bytes.
		if n, err := snappy.DecodedLen(block); err != nil || n > 32*len(block) || n > maxRequest {
			return 0, errCompressed
		}
		if s.plain, err = snappy.Decode(nil, block); err != nil {
			return 0, err
		}
	}
	n := copy(p, s.plain)
	s.plain = s.plain[n:]
	return n, nil
}

func (s *snappyReader) next() ([]byte, error) {
	if !s.blocks {
		if s.begun {
			return nil, io.EOF
		}
		s.begun = true
		return s.left, nil
	}
	if !s.begun {
		if len(s.left) < xerialHead {
			return nil, errCompressed
		}
		s.begun, s.left = true, s.left[xerialHead:]
	}
	if len(s.left) == 0 {
		return nil, io.EOF
	}
	if len(s.left) < 4 {
		return nil, errCompressed
	}
	size := binary.BigEndian.Uint32(s.left)
	if s.left = s.left[4:]; uint64(size) > uint64(len(s.left)) {
		return nil, errCompressed
	}
	block := s.left[:size]
	s.left = s.left[size:]
	return block, nil
}
