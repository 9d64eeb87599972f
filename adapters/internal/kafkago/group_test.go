package kafkago

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A broker may be away for longer than a session. The group of a broker that comes
// back waits a whole session more for a member that has not left.
func TestAForgottenMemberLeavesWhenTheBrokerIsBack(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	const away = 10 // requests
	asked, left := 0, make(chan string, 1)
	cluster.ControlKey(int16(kmsg.LeaveGroup), func(r kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		if asked++; asked <= away {
			return nil, errors.New("the broker is away"), true
		}
		left <- r.(*kmsg.LeaveGroupRequest).Members[0].MemberID
		return nil, nil, false
	})
	m := &membership{
		broker: Broker{Addrs: cluster.ListenAddrs(), Transport: &kafka.Transport{}},
		cfg:    GroupConfig{Group: "g", SessionTimeout: 50 * time.Millisecond}.WithDefaults(),
		id:     "who-we-were",
	}
	m.forsake(t.Context(), errors.New("the connection broke"))
	m.holding.Wait()
	select {
	case id := <-left:
		if id != "who-we-were" {
			t.Errorf("%s left", id)
		}
	default:
		t.Errorf("it gave up after %d requests", asked)
	}
}

// What the group lets in again need not leave any more.
func TestAMemberThatIsLetInStopsLeaving(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	asked := make(chan struct{}, 1)
	cluster.ControlKey(int16(kmsg.LeaveGroup), func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		select {
		case asked <- struct{}{}:
		default:
		}
		return nil, errors.New("the broker is away"), true
	})
	m := &membership{broker: Broker{Addrs: cluster.ListenAddrs(), Transport: &kafka.Transport{}}, cfg: GroupConfig{Group: "g"}.WithDefaults(), id: "who-we-were"}
	m.forsake(context.WithoutCancel(t.Context()), errors.New("the connection broke"))
	<-asked
	m.letIn()
	m.holding.Wait()
}
