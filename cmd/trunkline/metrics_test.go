package main

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Nobody needs a key to scrape, and each scrape counts rows.
func TestManyScrapesAreOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var gathered atomic.Int64
		answer := make(chan struct{})
		g := together(prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
			gathered.Add(1)
			<-answer
			return []*dto.MetricFamily{{}}, nil
		}))
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if all, err := g.Gather(); len(all) != 1 || err != nil {
					t.Errorf("%d families, %v", len(all), err)
				}
			})
		}
		synctest.Wait()
		close(answer)
		wg.Wait()
		if n := gathered.Load(); n != 1 {
			t.Errorf("gathered %d times at once", n)
		}
	})
}
