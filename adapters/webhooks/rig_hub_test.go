package webhooks

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"trunkline.dev/trunkline/adapters/internal/background"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

// hub is one running engine with its subscriber.
type hub struct {
	*Engine
	link *link
	// replays move in every hub, as in a process of the role webhooks.
	replays *Replays
	cancel  context.CancelFunc
	// others are closed when the group has given a partition to another process.
	others map[int]chan struct{}
	done   sync.WaitGroup
}

// inFlight is how many messages of a partition the subscriber hands out at once.
const inFlight = 256

// start runs an engine that owns the partitions, all when none are given.
func (r *rig) start(configure func(*Config), partitions ...int) *hub {
	l := &link{rig: r}
	cfg := Config{
		Store: deadStore{r.store, l}, Directory: l, Disabler: l, Log: l, Views: l, Progress: l, Ends: l, Earlier: l, Past: l, Attempter: l,
		Dialects: []Dialect{plain{plainProfile()}, threefold{plain{plainProfile()}, r}}, Version: "test",
		StandardSign: func(by Signers, id string, _ time.Time, _ []byte) string {
			var all []string
			for _, v := range by.Secrets {
				all = append(all, "v1,"+v.Value+id)
			}
			for _, k := range by.Keys {
				all = append(all, "v1a,"+k.ID+id)
			}
			return strings.Join(all, " ")
		},
		Decode: func(m *message.Message) (Incoming, error) {
			var in Incoming
			return in, json.Unmarshal(m.Payload, &in)
		},
	}
	if configure != nil {
		configure(&cfg)
	}
	e, err := New(cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(r.t.Context())
	h := &hub{Engine: e, link: l, cancel: cancel}
	if err := e.Start(ctx); err != nil {
		r.t.Fatal(err)
	}
	r.mu.Lock()
	r.processes++
	owner := fmt.Sprint("process ", r.processes)
	r.mu.Unlock()
	h.replays, err = NewReplays(ReplaysConfig{
		Service: h.service(), Store: lossyStore{deadStore{r.store, l}}, Owner: owner,
		Catching: func() []delivery.Endpoint {
			return slices.DeleteFunc(l.Endpoints("org"), func(e delivery.Endpoint) bool { return !e.CatchesUp })
		},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	l.replays = h.replays
	if err := h.replays.Start(ctx); err != nil {
		r.t.Fatal(err)
	}
	if len(partitions) == 0 {
		for p := range r.partitions {
			partitions = append(partitions, p)
		}
	}
	h.others = make(map[int]chan struct{})
	for _, p := range partitions {
		another := make(chan struct{})
		h.others[p] = another
		h.done.Go(func() { h.subscribe(ctx, p, another) })
	}
	return h
}

// subscribe reads one partition as a group subscriber does, by claims of it, one
// after the other if they do not hold, until it is another's.
func (h *hub) subscribe(ctx context.Context, p int, another <-chan struct{}) {
	for {
		next, err := h.Claim(ctx, event.Calls, p)
		if err == nil {
			h.read(ctx, p, next)
			h.Release(context.WithoutCancel(ctx), event.Calls, p)
		}
		select {
		case <-another:
			return
		case <-ctx.Done():
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// loses says that partitions are another's. It is not told before its next claim.
func (h *hub) loses(partitions ...int) {
	h.link.mu.Lock()
	defer h.link.mu.Unlock()
	for _, p := range partitions {
		if another := h.others[p]; another != nil {
			close(another)
			delete(h.others, p)
		}
	}
}

// read hands a partition out until its claim is lost or ctx ends: several messages
// in flight, each again until it is acknowledged.
func (h *hub) read(ctx context.Context, p int, next int64) {
	ctx, stop := context.WithCancel(ctx)
	lost := h.Lost(event.Calls, p)
	var handlers sync.WaitGroup
	defer handlers.Wait()
	defer stop()
	handlers.Go(func() {
		select {
		case <-lost:
			stop()
		case <-ctx.Done():
		}
	})
	room := make(chan struct{}, inFlight)
	for {
		h.link.mu.Lock()
		var rec *event.Recorded
		if next < int64(len(h.link.log[p])) {
			rec = &h.link.log[p][next]
		}
		grown := h.link.grown
		h.link.mu.Unlock()
		if rec == nil {
			select {
			case <-grown:
				continue
			case <-ctx.Done():
				return
			}
		}
		payload, _ := json.Marshal(Incoming{Recorded: *rec, Previous: next - 1})
		next++
		select {
		case room <- struct{}{}:
		case <-ctx.Done():
			return
		}
		handlers.Go(func() {
			defer func() { <-room }()
			for ctx.Err() == nil {
				m := message.NewMessage("", payload)
				m.SetContext(ctx)
				if h.Handle(m) == nil {
					return
				}
				if !background.Rest(ctx, time.Second) {
					return
				}
			}
		})
	}
}

// stop ends the hub as SIGTERM does.
func (h *hub) stop() {
	h.cancel()
	h.done.Wait()
	if err := h.replays.Stop(context.WithoutCancel(h.link.t.Context())); err != nil {
		h.link.t.Error(err)
	}
	if err := h.Stop(context.WithoutCancel(h.link.t.Context())); err != nil {
		h.link.t.Error(err)
	}
}

// kill ends the hub as kill -9 does: nothing of what it still wanted happens.
func (h *hub) kill() {
	h.strike()
	h.stop()
}

// strike is the moment of a kill; stop must follow.
func (h *hub) strike() {
	h.link.dead.Store(true)
	h.mu.Lock()
	h.cancel()
	h.Engine.cancel()
	for _, o := range h.owners {
		o.cancelSend()
	}
	h.mu.Unlock()
}
