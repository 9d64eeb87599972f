// Package secret keeps the generated passwords of the embedded stores in files
// that only their owner can read. A file that exists is never overwritten.
package secret

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"trunkline.dev/trunkline/adapters/internal/durable"
)

// LoadOrCreate returns the password in file. A missing file is made (mode 0600)
// with a fresh random password, which is on the disk when it is returned.
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
	if err := durable.Write(file, []byte(password+"\n"), os.Rename); err != nil {
		return "", fmt.Errorf("writing a password: %w", err)
	}
	return password, nil
}
