package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// bareConns is how many connections a bare loop has.
const bareConns = 32

// bareJob is what a bare loop does: Count times the same signed request, each with
// an id of its own, which the receiver counts as it counts those of the hub.
type bareJob struct {
	URL    string      `json:"url"`
	Header http.Header `json:"header"`
	Body   []byte      `json:"body"`
	Count  int         `json:"count"`
	// Run keeps the ids of one loop apart from those of the others.
	Run int `json:"run"`
}

// bareLoop is how many requests a second a Go client posts that does nothing else.
// It is a process of its own, as the hub is: one that lives in the receiver's is
// spared the switches between the two, and a fifth of the time.
func (b *bench) bareLoop(ctx context.Context, n int) (float64, error) {
	header, body, err := b.sink.repeated()
	if err != nil {
		return 0, err
	}
	b.bareRuns++
	job, err := json.Marshal(bareJob{URL: b.sink.bareURL(), Header: header, Body: body, Count: n, Run: b.bareRuns})
	if err != nil {
		return 0, err
	}
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, self, "-bare")
	cmd.Stdin, cmd.Stderr = bytes.NewReader(job), os.Stderr
	have := b.sink.count()
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("the bare loop: %w", err)
	}
	var took time.Duration
	if err := json.Unmarshal(out, &took); err != nil {
		return 0, fmt.Errorf("what the bare loop says: %w", err)
	}
	if came := b.sink.count() - have; came != n {
		return 0, fmt.Errorf("the bare loop posted %d requests and %d came", n, came)
	}
	return float64(n) / took.Seconds(), nil
}

// runBare is the process of bareLoop: a job comes in, how long it took in
// nanoseconds goes out.
func runBare(ctx context.Context, in io.Reader, out io.Writer) error {
	var job bareJob
	if err := json.NewDecoder(in).Decode(&job); err != nil {
		return fmt.Errorf("reading what to post: %w", err)
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: bareConns}}
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, bareConns)
	begin := time.Now()
	for range bareConns {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(job.Count); i = next.Add(1) {
				header := job.Header.Clone()
				header.Set("Webhook-Id", fmt.Sprintf("bare_%d_%s", job.Run, strconv.FormatInt(i, 10)))
				if err := post(ctx, client, job.URL, header, job.Body); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(begin)
	close(errs)
	if err := <-errs; err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(took)
}

// bareSteady is a client that posts to the receiver itself at a rate.
func (b *bench) bareSteady(ctx context.Context, rate int) (spread, error) {
	header, body, err := b.sink.repeated()
	if err != nil {
		return spread{}, err
	}
	n := rate * min(b.o.seconds, 5)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	times := make([]time.Duration, n)
	errs := make([]error, n)
	var wg sync.WaitGroup
	begin := time.Now()
	for i := range n {
		at := begin.Add(time.Duration(i) * time.Second / time.Duration(rate))
		if err := waitUntil(ctx, at); err != nil {
			return spread{}, err
		}
		wg.Go(func() {
			errs[i] = post(ctx, client, b.sink.bareURL(), header, body)
			times[i] = time.Since(at)
		})
	}
	wg.Wait()
	return spreadOf(times), errors.Join(errs...)
}

// post sends one request and reads the answer.
func post(ctx context.Context, client *http.Client, url string, header http.Header, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header = header
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return errors.Join(err, resp.Body.Close())
}
