// Package kmstest has stand-ins for key management services, each made after
// the vendor's published HTTP interface. They are strict: what a real service
// would refuse they refuse, in its words and with its status.
package kmstest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// service is what the stand-ins share: keys by name, and a switch.
type service struct {
	// URL is where it listens.
	URL string
	srv *httptest.Server

	mu    sync.Mutex
	keys  map[string]cipher.AEAD
	away  int // the status that everything is answered with; 0: none
	calls int
}

func (s *service) start(t testing.TB, handler http.HandlerFunc) {
	t.Helper()
	s.keys = make(map[string]cipher.AEAD)
	s.srv = httptest.NewServer(handler)
	s.URL = s.srv.URL
	t.Cleanup(s.srv.Close)
}

// AddKey makes a key.
func (s *service) AddKey(t testing.TB, name string) {
	t.Helper()
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[name] = gcm
}

// Away lets the service answer everything with a status; 0 lets it work again.
func (s *service) Away(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = status
}

// Calls counts the requests that were answered.
func (s *service) Calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

func (s *service) isAway() (status int, away bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	return s.away, s.away != 0
}

func (s *service) key(name string) (cipher.AEAD, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.keys[name]
	return k, ok
}

var errForeign = errors.New("not sealed by this key")

func open(k cipher.AEAD, sealed, about []byte) ([]byte, error) {
	if len(sealed) < k.Overhead() {
		return nil, errForeign
	}
	text, err := k.Open(nil, nil, sealed, about)
	if err != nil {
		return nil, errForeign
	}
	return text, nil
}
