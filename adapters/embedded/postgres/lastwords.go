package postgres

import "sync"

// lastWordsMax bounds what is kept of a child's output.
const lastWordsMax = 2000

// lastWords keeps the end of what a child wrote. It is safe for concurrent use.
type lastWords struct {
	mu  sync.Mutex
	buf []byte
}

// Write never fails: losing words must not stop the one who speaks.
func (w *lastWords) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.buf = append(w.buf, p...)
	if over := len(w.buf) - lastWordsMax; over > 0 {
		w.buf = append(w.buf[:0], w.buf[over:]...)
	}
	return len(p), nil
}

func (w *lastWords) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.buf)
}
