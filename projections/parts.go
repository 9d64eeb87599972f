package projections

import (
	"errors"
	"slices"
	"time"
)

// Parts returns what the runner knows of the partitions that it holds.
func (r *Runner) Parts() []Part {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]Part, 0, len(r.parts))
	for _, p := range r.parts {
		all = append(all, *p)
	}
	slices.SortFunc(all, func(a, b Part) int { return a.Partition - b.Partition })
	return all
}

// Err is why the runner does not read the log, "" if it does.
func (r *Runner) Err() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

func (r *Runner) hold(id partitionID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = ""
	r.parts[id] = &Part{Topic: id.topic, Partition: id.id, Next: -1, Progress: r.cfg.Now()}
}

func (r *Runner) release(id partitionID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.parts, id)
}

func (r *Runner) claimed(id partitionID, next, high int64) {
	r.update(id, func(p *Part) {
		p.Next, p.HighWatermark = next, max(high, p.HighWatermark)
		p.Progress, p.Err, p.OtherLog, p.Pending = r.cfg.Now(), "", false, time.Time{}
	})
	r.observe(id, next)
}

func (r *Runner) pending(id partitionID, oldest time.Time, high int64) {
	r.update(id, func(p *Part) { p.Pending, p.HighWatermark = oldest, max(high, p.HighWatermark) })
}

func (r *Runner) applied(id partitionID, next int64, at time.Time) {
	r.update(id, func(p *Part) {
		p.Next, p.Applied, p.Pending = next, at, time.Time{}
		p.Progress, p.Err = r.cfg.Now(), ""
	})
	r.observe(id, next)
}

func (r *Runner) failPart(id partitionID, err error) {
	r.update(id, func(p *Part) {
		p.Err, p.OtherLog = err.Error(), errors.Is(err, ErrOtherLog) || errors.Is(err, ErrDeleted)
	})
	if r.cfg.Meter != nil {
		r.cfg.Meter.Failure(r.cfg.Projection)
	}
}

func (r *Runner) update(id partitionID, change func(*Part)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p, ok := r.parts[id]; ok {
		change(p)
	}
}

func (r *Runner) observe(id partitionID, next int64) {
	if r.cfg.Observer != nil {
		r.cfg.Observer.Applied(r.cfg.Projection, r.cfg.Generation.Number, id.topic, id.id, next)
	}
}

func (r *Runner) fail(why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = why
}
