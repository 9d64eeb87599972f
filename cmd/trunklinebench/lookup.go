package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"
)

// The load of the look-up on dial: an address book, contacts that pour in
// meanwhile, and look-ups at a rate that is a large call centre's.
const (
	lookupContacts = 20_000
	lookupPouring  = 200
	lookupRate     = 200
)

// lookup measures the look-up on dial while contacts are written, against a
// route of the same hub that reads nothing.
func (b *bench) lookup(ctx context.Context) ([]row, error) {
	var o org
	if err := b.makeOrg(ctx, &o, "lookup", 0); err != nil {
		return nil, err
	}
	var made struct {
		CRM    string `json:"crm_url"`
		Secret string `json:"secret"`
	}
	if err := b.hub.call(ctx, o.key, http.MethodPost, "/v1/connections", map[string]string{"name": "bench", "dialect": "symbo"}, &made); err != nil {
		return nil, err
	}
	work, err := contactBatches(0, lookupContacts)
	if err != nil {
		return nil, err
	}
	if err := b.post(ctx, work, []string{o.key}, 4); err != nil {
		return nil, err
	}
	if err := b.settled(ctx); err != nil {
		return nil, err
	}
	mac := hmac.New(sha256.New, []byte(made.Secret)) // of nothing: a look-up has no body
	header := http.Header{"X-Hmac-Signature": {hex.EncodeToString(mac.Sum(nil))}}
	asked := func(i int) string { return made.CRM + "?number=%2B" + contactNumber(i * 7919 % lookupContacts)[1:] }
	pour, stop := context.WithCancel(ctx)
	poured := make(chan error, 1)
	go func() { poured <- b.pour(pour, o.key) }()
	times, err := b.gets(ctx, asked, header)
	stop()
	if err = errors.Join(err, <-poured); err != nil {
		return nil, err
	}
	bare, err := b.gets(ctx, func(int) string { return b.hub.base + "/healthz" }, nil)
	if err != nil {
		return nil, err
	}
	b.plot(fmt.Sprintf("look-up, %d/s", lookupRate), times)
	return []row{{
		what:     fmt.Sprintf("contact look-up at %d/s among %d, %d/s more pouring in, p50 / p99", lookupRate, lookupContacts, lookupPouring),
		measured: times.String(), baseline: "GET /healthz " + bare.String(), ratio: over(times.p50, bare.p50) + " p50", wanted: "p99 150 ms",
	}}, nil
}

// gets makes requests at the fixed rate and times each from its planned moment.
func (b *bench) gets(ctx context.Context, where func(int) string, header http.Header) (spread, error) {
	n := lookupRate * b.o.seconds
	times := make([]time.Duration, n)
	errs := make(chan error, n)
	var wg sync.WaitGroup
	begin := time.Now()
	for i := range n {
		planned := begin.Add(time.Duration(i) * time.Second / lookupRate)
		if err := waitUntil(ctx, planned); err != nil {
			return spread{}, err
		}
		wg.Go(func() {
			if err := b.fetch(ctx, where(i), header); err != nil {
				errs <- err
			}
			times[i] = time.Since(planned)
		})
	}
	wg.Wait()
	close(errs)
	return spreadOf(times), <-errs
}

func (b *bench) fetch(ctx context.Context, url string, header http.Header) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	req.Header = header
	resp, err := b.hub.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %d %s", url, resp.StatusCode, body)
	}
	return err
}

// pour writes new contacts at a steady rate until ctx ends.
func (b *bench) pour(ctx context.Context, key string) error {
	const each = lookupPouring / 10
	for n, at := lookupContacts, time.Now(); ; n, at = n+each, at.Add(100*time.Millisecond) {
		if waitUntil(ctx, at) != nil {
			return nil
		}
		work, err := contactBatches(n, each)
		if err != nil {
			return err
		}
		if err := b.hub.call(ctx, key, http.MethodPost, "/v1/events", work[0], nil); err != nil && ctx.Err() == nil {
			return err
		}
	}
}

func contactNumber(i int) string { return fmt.Sprintf("+1415%07d", 2_000_000+i) }

// contactBatches makes contacts in batches of 100.
func contactBatches(from, n int) ([][]byte, error) {
	var out [][]byte
	for at := from; at < from+n; at += 100 {
		events := make([]map[string]any, 0, 100)
		for i := at; i < min(at+100, from+n); i++ {
			events = append(events, map[string]any{
				"specversion": "1.0", "id": uuid.NewString(), "source": "/bench", "type": "contact.created.v1", "subject": uuid.NewString(),
				"time": time.Now().UTC().Format(time.RFC3339Nano), "datacontenttype": "application/json",
				"data": map[string]any{
					"external_id": fmt.Sprint(i), "first_name": "Sally", "last_name": "Sample", "title": "Sales Manager",
					"phones":  []map[string]string{{"kind": "work", "number": contactNumber(i)}},
					"address": map[string]string{"street": "123 Main", "city": "Salt Lake City", "state": "UT", "zip": "84010", "country": "US"},
				},
			})
		}
		raw, err := json.Marshal(events)
		if err != nil {
			return nil, err
		}
		out = append(out, raw)
	}
	return out, nil
}
