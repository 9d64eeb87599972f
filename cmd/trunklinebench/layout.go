package main

import (
	"context"
	"fmt"
	"net/http"
	"sync"
)

// org is an org of the hub under test with its endpoints.
type org struct {
	key string
	// hooks and paths are the endpoints' ids and where they are at the sink.
	hooks, paths []string
}

// layout is a number of orgs that all have the same number of endpoints. In the
// layout in which the peers were measured each of ten has one.
type layout struct {
	name string
	orgs []org
}

// endpoints is how many deliveries each event makes.
func (l layout) endpoints() int { return len(l.orgs[0].hooks) }

func (l layout) keys() []string {
	keys := make([]string, len(l.orgs))
	for i, o := range l.orgs {
		keys[i] = o.key
	}
	return keys
}

// makeLayout makes orgs that get every event of theirs at each endpoint.
func (b *bench) makeLayout(ctx context.Context, name string, orgs, endpoints int) (layout, error) {
	l := layout{name: name, orgs: make([]org, orgs)}
	next := make(chan int)
	errs := make(chan error, 8)
	var wg sync.WaitGroup
	for range cap(errs) {
		wg.Go(func() {
			for i := range next {
				if err := b.makeOrg(ctx, &l.orgs[i], fmt.Sprintf("%s-%d", name, i), endpoints); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	for i := range orgs {
		select {
		case next <- i:
			continue
		case err := <-errs:
			errs <- err
		}
		break
	}
	close(next)
	wg.Wait()
	close(errs)
	return l, <-errs
}

func (b *bench) makeOrg(ctx context.Context, o *org, name string, endpoints int) error {
	var made struct {
		AdminKey string `json:"admin_key"`
	}
	if err := b.hub.call(ctx, adminKey, http.MethodPost, "/v1/orgs", map[string]string{"name": name}, &made); err != nil {
		return err
	}
	o.key = made.AdminKey
	for i := range endpoints {
		var hook struct {
			ID string `json:"id"`
		}
		path := fmt.Sprintf("/%s/%d", name, i)
		body := map[string]any{"name": "bench", "dialect": "trunkline", "events": []string{"*"}, "url": "http://" + b.sink.addr + path}
		if err := b.hub.call(ctx, o.key, http.MethodPost, "/v1/webhooks", body, &hook); err != nil {
			return err
		}
		o.hooks, o.paths = append(o.hooks, hook.ID), append(o.paths, path)
	}
	return nil
}

// silence ends an endpoint, so that what it still owes costs nothing later.
func (b *bench) silence(ctx context.Context, o org) error {
	return b.hub.call(ctx, o.key, http.MethodDelete, "/v1/webhooks/"+o.hooks[0], nil, nil)
}
