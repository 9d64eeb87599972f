package readmodel

import (
	"encoding/binary"

	"trunkline.dev/trunkline/projections"
)

func packHashes(hashes []uint64) []byte {
	b := make([]byte, 0, 8*len(hashes))
	for _, h := range hashes {
		b = binary.BigEndian.AppendUint64(b, h)
	}
	return b
}

func unpackHashes(b []byte) []uint64 {
	hashes := make([]uint64, 0, len(b)/8+1)
	for ; len(b) >= 8; b = b[8:] {
		hashes = append(hashes, binary.BigEndian.Uint64(b))
	}
	return hashes
}

func packSeen(ids []projections.SeenID) []byte {
	b := make([]byte, 0, 16*len(ids))
	for _, id := range ids {
		b = binary.BigEndian.AppendUint64(b, id.Hash)
		b = binary.BigEndian.AppendUint64(b, uint64(id.Offset))
	}
	return b
}

func unpackSeen(b []byte) []projections.SeenID {
	ids := make([]projections.SeenID, 0, len(b)/16)
	for ; len(b) >= 16; b = b[16:] {
		ids = append(ids, projections.SeenID{Hash: binary.BigEndian.Uint64(b), Offset: int64(binary.BigEndian.Uint64(b[8:]))})
	}
	return ids
}
