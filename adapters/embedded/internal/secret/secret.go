// Package secret keeps the generated passwords of the embedded stores in files
// that only their owner can read. A file that exists is never overwritten.
package secret

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// LoadOrCreate returns the password in file. A missing file is made (mode 0600)
// with a fresh random password, complete and synced before it has its name, so a
// kill leaves either no file or a whole one.
func LoadOrCreate(file string) (password string, err error) {
	b, err := os.ReadFile(file)
	if err == nil {
		password = strings.TrimSpace(string(b))
		if password == "" {
			return "", fmt.Errorf("reading %s: the file is empty; delete it to have a new password made", file)
		}
		return password, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("reading a password: %w", err)
	}
	password = rand.Text()
	tmp, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*")
	if err != nil {
		return "", fmt.Errorf("writing a password: %w", err)
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // gone already when all went well
	_, err = tmp.WriteString(password + "\n")
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return "", fmt.Errorf("writing a password: %w", err)
	}
	if err := os.Rename(tmp.Name(), file); err != nil {
		return "", fmt.Errorf("writing a password: %w", err)
	}
	return password, nil
}
