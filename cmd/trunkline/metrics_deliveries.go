package main

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// What is owed is the same in every process: take one, or the maximum.
var (
	descBacklog = prometheus.NewDesc("trunkline_deliveries_backlog", "Deliveries in Postgres that have not ended, of all processes.", []string{"status"}, nil)
	descOldest  = prometheus.NewDesc("trunkline_delivery_oldest_pending_seconds", "Age of the oldest delivery that is pending, 0 if none is.", nil, nil)
)

// owedMetrics collects what receivers are owed.
type owedMetrics struct{ app *app }

func (owedMetrics) Describe(ch chan<- *prometheus.Desc) { ch <- descBacklog; ch <- descOldest }

func (m owedMetrics) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	total, err := m.app.owed.Total(ctx)
	if err != nil {
		return // a gap says more than a 0
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(descBacklog, float64(total.Count-total.Held), "pending")
	gauge(descBacklog, float64(total.Held), "held")
	age := 0.0
	if !total.Oldest.IsZero() {
		age = max(0, time.Since(total.Oldest).Seconds())
	}
	gauge(descOldest, age)
}
