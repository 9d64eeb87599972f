// Package durable puts small files into place so that a power cut leaves either no
// file or a whole one, and none that was read is gone.
package durable

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Write writes a file (mode 0600) under another name, and has it on the disk before
// into, which is os.Rename or os.Link, gives it its own; the name is on the disk when
// Write returns.
func Write(path string, text []byte, into func(from, to string) error) error {
	return write(path, text, into, (*os.File).Sync)
}

func write(path string, text []byte, into func(from, to string) error, sync func(*os.File) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone already when it was renamed
	if _, err = f.Write(text); err == nil {
		err = sync(f)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := into(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path), sync)
}

// SyncDir has the names in a directory on the disk.
func SyncDir(dir string) error { return syncDir(dir, (*os.File).Sync) }

func syncDir(dir string, sync func(*os.File) error) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	if err := errors.Join(sync(d), d.Close()); err != nil {
		return fmt.Errorf("syncing %s: %w", dir, err)
	}
	return nil
}
