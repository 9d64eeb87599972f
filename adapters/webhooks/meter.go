package webhooks

import (
	"github.com/prometheus/client_golang/prometheus"

	"trunkline.dev/trunkline/domain/delivery"
)

// meter counts what a process sends. Labels are bounded: endpoints and orgs are
// not among them, the delivery log has those.
type meter struct {
	attempts *prometheus.HistogramVec
	ended    *prometheus.CounterVec
}

func newMeter() *meter {
	return &meter{
		attempts: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "trunkline_delivery_attempt_seconds", Help: "How long the requests to receivers took, from connection to last byte.",
			Buckets: []float64{.002, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"dialect", "outcome"}),
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "trunkline_deliveries_ended_total", Help: "Deliveries that this process brought to an end.",
		}, []string{"outcome"}),
	}
}

func (m *meter) attempted(dialect string, made delivery.Attempted) {
	m.attempts.WithLabelValues(dialect, made.Outcome).Observe(made.DurationMS / 1000)
}

// finished counts an end, which is one for each delivery and each replay of it.
func (m *meter) finished(s delivery.Status) { m.ended.WithLabelValues(string(s)).Inc() }

// The gauges of an engine, read when they are scraped.
var (
	descInFlight  = prometheus.NewDesc("trunkline_deliveries_in_flight", "Requests to receivers that are under way.", nil, nil)
	descResident  = prometheus.NewDesc("trunkline_deliveries_in_memory", "Deliveries that wait in memory or are sent.", nil, nil)
	descLanes     = prometheus.NewDesc("trunkline_delivery_lanes", "Endpoints that this process sends to, open or shut.", []string{"state"}, nil)
	descProcesses = prometheus.NewDesc("trunkline_delivery_processes", "Processes that share the work, this one included.", nil, nil)
	descFacts     = prometheus.NewDesc("trunkline_delivery_facts_waiting", "Facts of deliveries that the log has not acknowledged yet.", nil, nil)
)

// Describe implements prometheus.Collector.
func (e *Engine) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descInFlight, descResident, descLanes, descProcesses, descFacts} {
		ch <- d
	}
	e.meter.attempts.Describe(ch)
	e.meter.ended.Describe(ch)
}

// Collect implements prometheus.Collector.
func (e *Engine) Collect(ch chan<- prometheus.Metric) {
	e.mu.Lock()
	open, resident := 0, 0
	for _, l := range e.lanes {
		if l.open {
			open++
		}
		resident += l.resident
	}
	shut, inFlight, processes := len(e.lanes)-open, e.inFlight, max(e.crew.of, min(1, len(e.owners)))
	facts := e.recorder.queue.len() + e.recorder.flying
	e.mu.Unlock()
	gauge := func(d *prometheus.Desc, v int, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
	}
	gauge(descInFlight, inFlight)
	gauge(descResident, resident)
	gauge(descLanes, open, "open")
	gauge(descLanes, shut, "shut")
	gauge(descProcesses, processes)
	gauge(descFacts, facts)
	e.meter.attempts.Collect(ch)
	e.meter.ended.Collect(ch)
}
