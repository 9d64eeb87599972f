package broker

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"
)

// A segment holds record batches as they are on the wire: offset (8 bytes), length of
// what follows (4), leader's epoch (4), magic (1), checksum (4) of all that is behind it.
const (
	atLength   = 8
	atMagic    = 16
	atChecksum = 17
	atSummed   = 21
	leastBatch = 61 // of no records
	mostBatch  = 1 << 30
	magic      = 2
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// inspect reads the log before kfake does, which cuts a segment off at the first batch
// that it cannot read. At a torn end, of an append that nobody was told of, that is
// right. Anywhere else it would delete what was acknowledged, and give its offsets to
// what comes, so that who has read the former never sees the latter: inspect refuses.
func inspect(ctx context.Context, dir string) error {
	partitions, err := os.ReadDir(filepath.Join(dir, "partitions"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the embedded Kafka's log: %w", err)
	}
	kept, err := kept(dir)
	if err != nil {
		return fmt.Errorf("reading the embedded Kafka's log: %w", err)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, p := range partitions {
		g.Go(func() error {
			path := filepath.Join(dir, "partitions", p.Name())
			err := inspectPartition(ctx, path)
			if err == nil && !kept[p.Name()] {
				err = inspectUnkept(path)
			}
			if err != nil {
				return fmt.Errorf("reading the embedded Kafka's log: %w", err)
			}
			return nil
		})
	}
	return g.Wait()
}

func segmentPath(dir string, base int64) string {
	return filepath.Join(dir, strconv.FormatInt(base, 10)+".dat")
}

func inspectPartition(ctx context.Context, dir string) error {
	segments, err := segmentsOf(dir)
	if err != nil {
		return err
	}
	whole := sizesAtStop(dir)
	for i, base := range segments {
		if err := ctx.Err(); err != nil {
			return err
		}
		path := segmentPath(dir, base)
		read, size, err := readable(path)
		if err != nil {
			return err
		}
		if read == size {
			continue
		}
		if i == len(segments)-1 && read >= whole[base] {
			// A torn end is one batch: each was flushed before the next was written.
			torn, err := nothingBehind(path, read)
			if err != nil {
				return err
			}
			if torn {
				continue
			}
		}
		return fmt.Errorf("%s is damaged at byte %d of %d, where acknowledged facts stand. Nothing was changed: see \"A damaged log\" in adapters/embedded/README.md", path, read, size)
	}
	return nil
}

// inspectUnkept refuses facts of a topic that is not in the list of topics: when it
// is created anew, its facts would be written behind them and not be found.
func inspectUnkept(dir string) error {
	segments, err := segmentsOf(dir)
	if err != nil {
		return err
	}
	for _, base := range segments {
		info, err := os.Stat(segmentPath(dir, base))
		if err != nil {
			return err
		}
		if info.Size() > 0 {
			return fmt.Errorf("%s holds facts, and %s does not name its topic: put the file of a copy in its place, or move the folder away if the topic was deleted", dir, topicsFile)
		}
	}
	return nil
}

// segmentsOf are the first offsets of a partition's segments, in order.
func segmentsOf(dir string) ([]int64, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var bases []int64
	for _, f := range files {
		name, ok := strings.CutSuffix(f.Name(), ".dat")
		if base, err := strconv.ParseInt(name, 10, 64); ok && err == nil {
			bases = append(bases, base)
		}
	}
	slices.SortFunc(bases, cmp.Compare)
	return bases, nil
}

// sizesAtStop are how long the segments were when the broker last stopped in order.
func sizesAtStop(dir string) map[int64]int64 {
	var snapshot struct {
		Segments []struct {
			Base int64 `json:"base_offset"`
			Size int64 `json:"size"`
		} `json:"segments"`
	}
	raw, err := os.ReadFile(filepath.Join(dir, "snapshot.json"))
	if err != nil || json.Unmarshal(raw, &snapshot) != nil {
		return nil // kfake goes without it, too
	}
	sizes := make(map[int64]int64, len(snapshot.Segments))
	for _, s := range snapshot.Segments {
		sizes[s.Base] = s.Size
	}
	return sizes
}

// readable returns how many bytes of a segment are whole batches, and how many it has.
func readable(path string) (read, size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, 0, err
	}
	read, err = wholeBatches(f)
	return read, info.Size(), err
}

func wholeBatches(f io.Reader) (int64, error) {
	r := bufio.NewReaderSize(f, 256<<10)
	var read int64
	for {
		head, err := r.Peek(atSummed)
		if err != nil {
			return read, endOf(err)
		}
		size := sizeOfBatch(head)
		if size < leastBatch || size > mostBatch {
			return read, nil
		}
		want := binary.BigEndian.Uint32(head[atChecksum:])
		if _, err := r.Discard(atSummed); err != nil {
			return read, err
		}
		sum, err := sumOf(r, size-atSummed)
		if err != nil {
			return read, endOf(err)
		}
		if sum != want {
			return read, nil
		}
		read += size
	}
}

// sumOf reads so many bytes and returns their checksum.
func sumOf(r *bufio.Reader, n int64) (sum uint32, err error) {
	for n > 0 {
		piece, err := r.Peek(int(min(n, int64(r.Size()))))
		if err != nil {
			return 0, err
		}
		sum = crc32.Update(sum, castagnoli, piece)
		n -= int64(len(piece))
		_, _ = r.Discard(len(piece)) // it was peeked
	}
	return sum, nil
}

// endOf makes nothing of the end of a file.
func endOf(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func sizeOfBatch(head []byte) int64 {
	return atLength + 4 + int64(int32(binary.BigEndian.Uint32(head[atLength:])))
}

// nothingBehind reports whether no batch can be read behind an offset of a segment.
func nothingBehind(path string, from int64) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	rest, err := io.ReadAll(io.NewSectionReader(f, from, mostBatch))
	if err != nil {
		return false, err
	}
	for at := 1; at+leastBatch <= len(rest); at++ {
		next := bytes.IndexByte(rest[at+atMagic:], magic)
		if next < 0 {
			return true, nil
		}
		at += next
		if at+leastBatch > len(rest) {
			return true, nil
		}
		b := rest[at:]
		size := sizeOfBatch(b)
		if size < leastBatch || size > int64(len(b)) {
			continue
		}
		if crc32.Checksum(b[atSummed:size], castagnoli) == binary.BigEndian.Uint32(b[atChecksum:]) {
			return false, nil
		}
	}
	return true, nil
}
