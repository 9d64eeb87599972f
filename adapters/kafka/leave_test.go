package kafka_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"trunkline.dev/trunkline/adapters/internal/testenv"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// leavesWhileJoining shows that a member which is stopped while it waits for
// another one, which will never answer, stops soon and leaves nothing behind
// that the group would wait for.
func leavesWhileJoining(t *testing.T, addr string) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	client, group := api(t, addr), "silent-"+rand.Text()
	join := func(id string) (string, error) {
		resp, err := client.JoinGroup(ctx, &kafkago.JoinGroupRequest{
			GroupID: group, MemberID: id, SessionTimeout: patience, RebalanceTimeout: patience, ProtocolType: "consumer",
			Protocols: []kafkago.GroupProtocol{{Name: "range", Metadata: kafkago.GroupProtocolSubscription{Topics: []string{string(event.Calls)}}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		return resp.MemberID, resp.Error
	}
	members := func() map[string]bool {
		resp, err := client.DescribeGroups(ctx, &kafkago.DescribeGroupsRequest{GroupIDs: []string{group}})
		if err != nil {
			t.Fatal(err)
		}
		ids := make(map[string]bool)
		for _, m := range resp.Groups[0].Members {
			ids[m.MemberID] = true
		}
		return ids
	}
	// It asks for an id, joins by it, and is never heard of again.
	silent, err := join("")
	if !errors.Is(err, kafkago.MemberIDRequired) {
		t.Fatal(err)
	}
	if _, err := join(silent); err != nil {
		t.Fatal(err)
	}

	c := newClient(t, addr)
	running, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() {
		done <- newSource(t, c, quick()).Run(running, group, []event.Topic{event.Calls}, func(ctx context.Context, _ projections.Partition) error {
			t.Error("given a partition while the other member had not let go")
			return nil
		})
	}()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for len(members()) < 2 {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			t.Fatal("the member did not join")
		}
	}
	stop()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-ctx.Done():
		t.Fatal("Run did not return while a join was pending")
	}
	if got := members(); len(got) != 1 || !got[silent] {
		t.Errorf("members %v, want %s alone", got, silent)
	}
}

func TestMemberLeavesWhileJoining(t *testing.T) {
	t.Parallel()
	leavesWhileJoining(t, testenv.Kafka(t))
}

// strayJoinHoldsNothing shows that a join of ours whose connection died while it
// waited does not hold partitions: kafka-go joins anew, under another id, and
// has forgotten it. Kafka notices in a session, the embedded broker never does.
func strayJoinHoldsNothing(t *testing.T, addr string) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience) // what Eventually says comes first
	defer cancel()
	c, client, group := newClient(t, addr), api(t, addr), "stray-"+rand.Text()
	describe := func() kafkago.DescribeGroupsResponseGroup {
		resp, err := client.DescribeGroups(ctx, &kafkago.DescribeGroupsRequest{GroupIDs: []string{group}})
		if err != nil {
			t.Fatal(err)
		}
		return resp.Groups[0]
	}
	// The one member does not let go of its partitions before the stray join is
	// cut off.
	var held atomic.Int64
	letGo := make(chan struct{})
	running, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		done <- newSource(t, c, quick()).Run(running, group, []event.Topic{event.Calls}, func(ctx context.Context, _ projections.Partition) error {
			held.Add(1)
			defer held.Add(-1)
			<-ctx.Done()
			select {
			case <-letGo:
			case <-running.Done():
			}
			return nil
		})
	}()
	all := int64(c.Partitions())
	holdsAll := func() error {
		if n := held.Load(); n != all {
			return fmt.Errorf("%d partitions of %d are held; members %+v", n, all, describe().Members)
		}
		return nil
	}
	testenv.Eventually(t, holdsAll)

	// Another one of the same name joins, waits, and is cut off for ever.
	var conns sync.Map
	var cut atomic.Bool
	stray, err := kafkago.NewConsumerGroup(kafkago.ConsumerGroupConfig{
		ID: group, Brokers: []string{addr}, Topics: []string{string(event.Calls)}, GroupBalancers: []kafkago.GroupBalancer{kafkago.RangeGroupBalancer{}},
		SessionTimeout: 10 * time.Second, RebalanceTimeout: 10 * time.Second,
		Dialer: &kafkago.Dialer{ClientID: describe().Members[0].ClientID, DialFunc: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if cut.Load() {
				return nil, net.ErrClosed
			}
			c, err := new(net.Dialer).DialContext(ctx, network, addr)
			if err == nil {
				conns.Store(c, nil)
			}
			return c, err
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stray.Close() }()
	testenv.Eventually(t, func() error {
		if n := len(describe().Members); n != 2 {
			return fmt.Errorf("%d members", n)
		}
		return nil
	})
	cut.Store(true)
	conns.Range(func(c, _ any) bool { return c.(net.Conn).Close() == nil })
	close(letGo)
	testenv.Eventually(t, func() error {
		if n := len(describe().Members); n != 1 {
			return fmt.Errorf("%d members", n)
		}
		return holdsAll()
	})
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestStrayJoinHoldsNothing(t *testing.T) {
	t.Parallel()
	strayJoinHoldsNothing(t, testenv.Kafka(t))
}
