package kafka_test

import (
	"context"
	"crypto/rand"
	"errors"
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
