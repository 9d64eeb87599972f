package main

import (
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
	"golang.org/x/sync/singleflight"
)

// scrapeTimeout bounds what a scrape asks of the stores.
const scrapeTimeout = 5 * time.Second

// The metrics of the hub, read when they are scraped.
var (
	descBuild      = prometheus.NewDesc("trunkline_build_info", "Version of the hub; the value is 1.", []string{"version"}, nil)
	descLagEvents  = prometheus.NewDesc("trunkline_projection_lag_events", "Events in the log without their effect in the read model.", []string{"projection"}, nil)
	descLagSeconds = prometheus.NewDesc("trunkline_projection_lag_seconds", "Age of the oldest event without its effect.", []string{"projection"}, nil)
	descParked     = prometheus.NewDesc("trunkline_projection_parked_events", "Poison events set aside, and those behind them.", []string{"projection"}, nil)
	descAppended   = prometheus.NewDesc("trunkline_log_appended_events_total", "Events that the broker acknowledged.", nil, nil)
	descBatches    = prometheus.NewDesc("trunkline_log_batches_total", "Produce requests that the broker acknowledged.", nil, nil)
	descRetries    = prometheus.NewDesc("trunkline_log_retries_total", "Produce requests that were sent again.", nil, nil)
	descFailing    = prometheus.NewDesc("trunkline_log_failing_partitions", "Partitions that have taken no facts since their last failure; writes to them are refused.", nil, nil)
	descLookups    = prometheus.NewDesc("trunkline_lookups_total", "Calls of unknown parties that customers' CRMs were asked about.", []string{"outcome"}, nil)
	descScrape     = prometheus.NewDesc("trunkline_scrape_errors", "1 when the state of the projections could not be read.", nil, nil)
)

// hubMetrics collects what the parts of a hub count.
type hubMetrics struct{ app *app }

func (hubMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descBuild, descLagEvents, descLagSeconds, descParked, descAppended, descBatches, descRetries, descFailing, descLookups, descScrape} {
		ch <- d
	}
}

func (m hubMetrics) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v float64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v)
	}
	gauge(descBuild, 1, version)
	log := m.app.events.Stats()
	counter(descAppended, float64(log.Events))
	counter(descBatches, float64(log.Batches))
	counter(descRetries, float64(log.Retries))
	gauge(descFailing, float64(log.Failing))
	asked := m.app.asker.Stats()
	for outcome, n := range map[string]uint64{"found": asked.Found, "none": asked.None, "failed": asked.Failed, "cached": asked.Cached, "dropped": asked.Dropped} {
		ch <- prometheus.MustNewConstMetric(descLookups, prometheus.CounterValue, float64(n), outcome)
	}
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	statuses, err := m.app.projector.Status(ctx)
	if err != nil {
		gauge(descScrape, 1)
		return
	}
	gauge(descScrape, 0)
	for _, s := range statuses {
		gauge(descLagEvents, float64(s.LagEvents), s.Name)
		gauge(descLagSeconds, s.LagSeconds, s.Name)
		gauge(descParked, float64(s.Parked), s.Name)
	}
}

// metrics serves /metrics from a registry of its own: libraries that register
// themselves elsewhere do not end up in the hub's contract.
func (a *app) metrics() http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), hubMetrics{a}, owedMetrics{a}, a.engine)
	return promhttp.HandlerFor(together(r), promhttp.HandlerOpts{})
}

// together gathers once for all who scrape at the same time: it takes no key, and
// counts what is in Postgres.
func together(g prometheus.Gatherer) prometheus.Gatherer {
	var scrape singleflight.Group
	return prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		all, err, _ := scrape.Do("", func() (any, error) { return g.Gather() })
		return all.([]*dto.MetricFamily), err
	})
}
