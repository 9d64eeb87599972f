package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// operator calls the API of a running hub with the admin key of this machine's
// data directory, or the one in TRUNKLINE_ADMIN_KEY.
type operator struct {
	base, key string
	http      *http.Client
}

func newOperator() (*operator, Config, error) {
	cfg, err := loadConfig()
	if err != nil {
		return nil, cfg, misused{err}
	}
	key := cfg.AdminKey
	if key == "" {
		b, err := os.ReadFile(cfg.file(adminKeyFile))
		if err != nil {
			return nil, cfg, fmt.Errorf("%w: no admin key: set TRUNKLINE_ADMIN_KEY, or TRUNKLINE_DATA_DIR to the hub's data directory: %w", errUsage, err)
		}
		key = trim(b)
	}
	return &operator{base: cfg.baseURL(), key: key, http: &http.Client{Timeout: time.Minute}}, cfg, nil
}

func trim(b []byte) string { return strings.TrimSpace(string(b)) }

// apiError is an answer that is not a success, in the hub's own words.
type apiError struct {
	Status int
	Title  string
	Detail string
}

func (e *apiError) Error() string {
	if e.Detail == "" {
		return fmt.Sprintf("the hub answered %d %s", e.Status, e.Title)
	}
	return fmt.Sprintf("the hub answered %d: %s", e.Status, e.Detail)
}

// pathOf is the path of one thing of a collection, or of what can be done with it.
func pathOf(collection, id, action string) string {
	path := "/v1/" + collection + "/" + url.PathEscape(id)
	if action != "" {
		path += "/" + action
	}
	return path
}

// call sends body as JSON, if there is one, and reads the answer into into.
func (o *operator) call(ctx context.Context, method, path string, body, into any) error {
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		r = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, o.base+path, r)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+o.key)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := o.http.Do(req)
	if err != nil {
		return fmt.Errorf("asking the hub (TRUNKLINE_HTTP_ADDR): %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		return readProblem(resp)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		return fmt.Errorf("reading the hub's answer: %w", err)
	}
	if into == nil || len(b) == 0 {
		return nil
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("reading the hub's answer: %w", err)
	}
	return nil
}

// readProblem reads an answer that is not a success.
func readProblem(resp *http.Response) error {
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("reading the hub's answer: %w", err)
	}
	p := apiError{Title: http.StatusText(resp.StatusCode)}
	_ = json.Unmarshal(b, &p) // what is not a problem document has only its status
	p.Status = resp.StatusCode
	return &p
}
