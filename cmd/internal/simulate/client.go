package simulate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// client calls the API as a careful integrator would: one Idempotency-Key for
// a request and all its retries, and retries for as long as the hub is away.
type client struct {
	base, key string
	http      *http.Client
	patience  time.Duration
	requests  atomic.Int64
	retries   atomic.Int64
}

func newClient(base, key string, patience time.Duration) *client {
	return &client{base: base, key: key, patience: patience, http: &http.Client{
		Timeout:   15 * time.Second,
		Transport: &http.Transport{MaxIdleConnsPerHost: 512, MaxConnsPerHost: 512, IdleConnTimeout: 30 * time.Second},
	}}
}

func (c *client) post(ctx context.Context, path string, body, into any) error {
	return c.do(ctx, http.MethodPost, path, body, into)
}

func (c *client) patch(ctx context.Context, path string, body any) error {
	return c.do(ctx, http.MethodPatch, path, body, nil)
}

// do sends until the hub has said yes or no. A refused connection, a cut answer
// and a 5xx say neither: the same request goes again under the same key.
func (c *client) do(ctx context.Context, method, path string, body, into any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	key := uuid.NewString()
	deadline := time.Now().Add(c.patience)
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		status, answer, err := c.once(ctx, method, path, key, raw)
		switch {
		case err == nil && status < 300:
			c.requests.Add(1)
			if into == nil {
				return nil
			}
			return json.Unmarshal(answer, into)
		case err == nil && status < 500 && status != http.StatusTooManyRequests && status != http.StatusConflict:
			return fmt.Errorf("%s %s: %d %s", method, path, status, answer)
		case ctx.Err() != nil:
			return ctx.Err()
		case time.Now().After(deadline):
			return fmt.Errorf("%s %s: gave up after %s: %w", method, path, c.patience, errors.Join(err, fmt.Errorf("status %d %s", status, answer)))
		}
		c.retries.Add(1)
		if err := rest(ctx, pause); err != nil {
			return err
		}
	}
}

func (c *client) once(ctx context.Context, method, path, key string, body []byte) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+c.key)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", key)
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return 0, nil, err
	}
	return resp.StatusCode, answer, nil
}
