package crm_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/adapters/crm"
	"trunkline.dev/trunkline/adapters/internal/testenv"
	"trunkline.dev/trunkline/adapters/memory"
	"trunkline.dev/trunkline/adapters/phone"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/contact"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/tenant"
)

func TestAnUnknownPartyIsAskedFor(t *testing.T) {
	t.Parallel()
	server := newCRM(t)
	w := newWorld(t, connection("c", server.URL+"/find?key=1"))
	w.outbound("call-1", sally)
	e := w.attached(1)[0]
	got := map[string]string{
		"subject": e.Subject, "source": e.Source, "actor": e.Actor, "correlation": e.CorrelationID, "data": string(e.Data),
	}
	want := map[string]string{
		"subject": "call-1", "source": "connection/c", "actor": "hub", "correlation": "request-1",
		"data": `{"contact":{"external_id":"12345","connection_id":"c","first_name":"Sally"}}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	server.mu.Lock()
	defer server.mu.Unlock()
	const query = "key=1&number=%2B15550000001"
	if r := server.last; r.Method != http.MethodGet || r.URL.RawQuery != query || r.Header.Get("X-Hmac-Signature") != "secret-c of "+query || r.Header.Get("User-Agent") != "Trunkline/test" {
		t.Errorf("asked %s %s %v", r.Method, r.URL, r.Header)
	}
}

func TestWhoIsNotAskedFor(t *testing.T) {
	t.Parallel()
	server := newCRM(t)
	limited := connection("c", server.URL)
	limited.ListID = "list-1"
	w := newWorld(t, limited)
	on := func(list string) call.Started {
		return call.Started{Direction: "inbound", From: sally, To: "+14143756757", ListID: list, StartedAt: noon}
	}
	w.starts("of another list", on("list-2"), nil)
	w.starts("backfilled", on("list-1"), func(e *event.Envelope) { e.Origin = event.OriginBackfill })
	w.starts("of another org", on("list-1"), func(e *event.Envelope) { e.Org = "org-2" })
	inferred := on("list-1")
	inferred.Inferred = true
	w.starts("inferred", inferred, nil)
	withheld := on("list-1")
	withheld.From = ""
	w.starts("withheld", withheld, nil)
	known := on("list-1")
	known.From = friend
	w.starts("known", known, nil)
	unsure := on("list-1")
	unsure.From = "+15550000009"
	w.starts("the read model is away", unsure, nil)
	w.starts("asked", on("list-1"), nil)
	if got := w.attached(1); len(got) != 1 || got[0].Subject != "asked" {
		t.Errorf("attached %v", got)
	}
	if n := server.asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

func TestAnswersCountForAWhile(t *testing.T) {
	t.Parallel()
	server := newCRM(t)
	w := newWorld(t, connection("c", server.URL))
	w.outbound("1", sally)
	w.settled(crm.Stats{Found: 1})
	w.outbound("2", sally)
	w.outbound("3", ghost)
	w.settled(crm.Stats{Found: 1, Cached: 1, None: 1})
	w.outbound("4", ghost)
	w.settled(crm.Stats{Found: 1, Cached: 2, None: 1})
	if got := w.attached(2); got[1].Subject != "2" {
		t.Errorf("a cached answer is attached to its call: %v", got)
	}
	w.now.Add(601)
	w.outbound("5", sally)
	w.settled(crm.Stats{Found: 2, Cached: 2, None: 1})
	server.answers(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusInternalServerError) })
	w.outbound("6", "+15550000004")
	w.settled(crm.Stats{Found: 2, Cached: 2, None: 1, Failed: 1})
	w.outbound("7", "+15550000004")
	w.settled(crm.Stats{Found: 2, Cached: 3, None: 1, Failed: 1})
	w.now.Add(31)
	w.outbound("8", "+15550000004")
	w.settled(crm.Stats{Found: 2, Cached: 3, None: 1, Failed: 2})
	t.Run("another secret asks anew", func(t *testing.T) {
		w.mu.Lock()
		w.connections[0].Secret = "other"
		w.mu.Unlock()
		w.outbound("9", "+15550000004")
		w.settled(crm.Stats{Found: 2, Cached: 3, None: 1, Failed: 3})
	})
}

// Each call of another number finds the CRM down.
func TestACRMThatIsDownDoesNotFillTheLog(t *testing.T) {
	t.Parallel()
	server := newCRM(t)
	server.answers(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusInternalServerError) })
	w := newWorld(t, connection("c", server.URL))
	for i := range 20 {
		w.outbound(fmt.Sprint(i), fmt.Sprintf("+155500001%02d", i))
		w.settled(crm.Stats{Failed: uint64(i) + 1})
	}
	if n := w.said.Load(); n != 1 {
		t.Errorf("it is said %d times", n)
	}
	w.now.Add(10)
	w.outbound("later", "+15550000200")
	w.settled(crm.Stats{Failed: 21})
	if n := w.said.Load(); n != 2 {
		t.Errorf("ten seconds later it is said %d times", n)
	}
}

// What is remembered is bounded in bytes too: a CRM may answer with all it knows.
func TestLongAnswersAreForgottenBeforeTheyFillTheMemory(t *testing.T) {
	t.Parallel()
	server := newCRM(t)
	long := bytes.Repeat([]byte("x"), 60<<10)
	server.answers(func(rw http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(rw, `{"external_id":"1","first_name":"Sally","all":"%s"}`, long)
	})
	w := newWorld(t, connection("c", server.URL))
	const answers = crm.RememberedBytes/(60<<10) + 1
	number := func(i int) string { return fmt.Sprintf("+1666%07d", i) }
	for i := range answers {
		w.outbound(fmt.Sprint("call-", i), number(i))
		// The first alone: of those that are asked at once any may be answered first, and
		// it is the oldest that is forgotten.
		if i == 0 || i%8 == 7 || i == answers-1 {
			w.settled(crm.Stats{Found: uint64(i + 1)})
		}
	}
	w.outbound("the last again", number(answers-1))
	w.settled(crm.Stats{Found: answers, Cached: 1})
	w.outbound("the first again", number(0))
	w.settled(crm.Stats{Found: answers + 1, Cached: 1})
}

// A CRM that says it is asked too much is left alone, whoever calls.
func TestACRMThatAsksForAPauseGetsOne(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status int
		after  string
		pause  int64
	}{
		"in seconds":                  {http.StatusTooManyRequests, "90", 90},
		"until a time":                {http.StatusServiceUnavailable, noon.Add(2 * time.Minute).Format(http.TimeFormat), 120},
		"for an hour, at most this":   {http.StatusTooManyRequests, "3600", 300},
		"for longer than can be said": {http.StatusTooManyRequests, "99999999999999999999", 300},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			busy, next := newCRM(t), newCRM(t)
			busy.answers(func(rw http.ResponseWriter, _ *http.Request) {
				rw.Header().Set("Retry-After", c.after)
				rw.WriteHeader(c.status)
			})
			w := newWorld(t, connection("a", busy.URL), connection("b", next.URL))
			w.outbound("1", ghost)
			w.settled(crm.Stats{Failed: 1, None: 1})
			w.now.Add(c.pause - 1)
			w.outbound("2", sally)
			if e := w.attached(1)[0]; e.Source != "connection/b" || busy.asked.Load() != 1 {
				t.Errorf("the busy one was asked %d times, and %s answered", busy.asked.Load(), e.Source)
			}
			w.settled(crm.Stats{Failed: 1, None: 1, Cached: 1, Found: 1})
			w.now.Add(2)
			w.outbound("3", "+15550000004")
			w.settled(crm.Stats{Failed: 2, None: 2, Cached: 1, Found: 1})
		})
	}
}

func TestTheSameStartTwiceIsOneAnswer(t *testing.T) {
	t.Parallel()
	server := newCRM(t)
	w := newWorld(t, connection("c", server.URL))
	w.outbound("1", sally)
	w.outbound("1", sally)
	got := w.attached(2)
	if got[0].ID != got[1].ID {
		t.Errorf("two events: %s, %s", got[0].ID, got[1].ID)
	}
}

func TestTheNextCRMIsAskedWhenOneKnowsNobody(t *testing.T) {
	t.Parallel()
	empty, broken, full := newCRM(t), newCRM(t), newCRM(t)
	empty.answers(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusNotFound) })
	broken.answers(func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write([]byte("<html>")) })
	w := newWorld(t, connection("a", empty.URL), connection("b", broken.URL), connection("c", full.URL), connection("d", newCRM(t).URL))
	w.outbound("1", sally)
	if e := w.attached(1)[0]; e.Source != "connection/c" {
		t.Errorf("the answer is of %s", e.Source)
	}
	w.settled(crm.Stats{Found: 1, None: 1, Failed: 1})
}

func TestBadCRMs(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]http.HandlerFunc{
		"redirects": func(rw http.ResponseWriter, r *http.Request) { http.Redirect(rw, r, "/elsewhere", http.StatusFound) },
		"is endless": func(rw http.ResponseWriter, _ *http.Request) {
			_, _ = rw.Write(bytes.Repeat([]byte(" "), 64<<10+1))
		},
		"says nobody by a 200":    func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write([]byte("{}")) },
		"breaks off":              func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"answers something else":  func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusNoContent) },
		"asks for authentication": func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusUnauthorized) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newCRM(t)
			server.answers(answer)
			w := newWorld(t, connection("c", server.URL))
			w.outbound("1", sally)
			w.settled(crm.Stats{Failed: 1})
		})
	}
	t.Run("has a forbidden address", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, connection("c", "https://forbidden.example/"))
		w.outbound("1", sally)
		w.settled(crm.Stats{Failed: 1})
	})
}

// TestACRMThatHangsHoldsNothingUp asks one that never answers. What finds no
// room is dropped, and another CRM is asked meanwhile.
func TestACRMThatHangsHoldsNothingUp(t *testing.T) {
	t.Parallel()
	hanging, good := newCRM(t), newCRM(t)
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	hanging.answers(func(http.ResponseWriter, *http.Request) { <-release })
	slow, quick := connection("a", hanging.URL), connection("b", good.URL)
	slow.ListID, quick.ListID = "slow", "quick"
	w := newWorld(t, slow, quick)
	for i := range 40 {
		number := "+155500001" + string(rune('0'+i/10)) + string(rune('0'+i%10))
		w.starts(number, call.Started{Direction: "outbound", From: "+14143756757", To: number, ListID: "slow", StartedAt: noon}, nil)
	}
	w.starts("quick", call.Started{Direction: "outbound", From: "+14143756757", To: sally, ListID: "quick", StartedAt: noon}, nil)
	if e := w.attached(1)[0]; e.Subject != "quick" {
		t.Errorf("attached to %s", e.Subject)
	}
	if got := w.asker.Stats(); got.Dropped != 24 {
		t.Errorf("of forty calls %d were dropped, want all but sixteen", got.Dropped)
	}
	w.settled(crm.Stats{Found: 1, Failed: 16, Dropped: 24}) // each after its two seconds
}

// A CRM that hangs takes the room of its own questions only, though it is asked behind
// another one.
func TestACRMThatHangsBehindAnotherCostsThatOneNothing(t *testing.T) {
	t.Parallel()
	good, hanging := newCRM(t), newCRM(t)
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	hanging.answers(func(http.ResponseWriter, *http.Request) { <-release })
	w := newWorld(t, connection("a", good.URL), connection("b", hanging.URL))
	for i := range 16 {
		w.outbound(fmt.Sprint("unknown-", i), fmt.Sprintf("+155500001%02d", i))
	}
	testenv.Eventually(t, func() error {
		if n := hanging.asked.Load(); n != 16 {
			return fmt.Errorf("%d questions hang", n)
		}
		return nil
	})
	w.outbound("known", sally)
	w.outbound("one too many", ghost)
	if e := w.attached(1)[0]; e.Subject != "known" || e.Source != "connection/a" {
		t.Errorf("attached to %s by %s", e.Subject, e.Source)
	}
	w.settled(crm.Stats{Found: 1, None: 17, Dropped: 1, Failed: 16}) // each after its two seconds
	if n := hanging.asked.Load(); n != 16 {
		t.Errorf("the one that hangs was asked %d times", n)
	}
}

// Nor does one that is asked before others keep a call from them.
func TestACRMThatHangsBeforeAnotherCostsThatOneNothing(t *testing.T) {
	t.Parallel()
	hanging, good := newCRM(t), newCRM(t)
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	hanging.answers(func(http.ResponseWriter, *http.Request) { <-release })
	w := newWorld(t, connection("a", hanging.URL), connection("b", good.URL))
	for i := range 16 {
		w.outbound(fmt.Sprint("unknown-", i), fmt.Sprintf("+155500001%02d", i))
	}
	w.outbound("known", sally)
	if e := w.attached(1)[0]; e.Subject != "known" || e.Source != "connection/b" {
		t.Errorf("attached to %s by %s", e.Subject, e.Source)
	}
	w.settled(crm.Stats{Found: 1, None: 16, Failed: 16}) // each after its two seconds
}

// TestStopBreaksOff stops while a question is out; none is asked after.
func TestStopBreaksOff(t *testing.T) {
	t.Parallel()
	server := newCRM(t)
	release, reached := make(chan struct{}), make(chan struct{})
	server.answers(func(http.ResponseWriter, *http.Request) { close(reached); <-release })
	w := newWorld(t, connection("c", server.URL))
	w.outbound("1", sally)
	<-reached
	if err := w.asker.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	close(release)
	w.outbound("2", sally)
	if got := w.asker.Stats(); got != (crm.Stats{Dropped: 1}) {
		t.Errorf("counted %+v", got)
	}
	if err := w.asker.Stop(t.Context()); err != nil {
		t.Errorf("stopping twice: %v", err)
	}
}

func TestCallsOfOneNumberAreAskedForOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		// In a bubble no request leaves the process: the dialer is refused, at once
		// for all that wait.
		var dials atomic.Int64
		client, err := crm.NewClient(crm.ClientConfig{
			Control:  func(string, string, syscall.RawConn) error { return nil },
			CheckURL: func(string) error { dials.Add(1); <-time.After(time.Second); return errors.New("refused") },
			Sign:     func(tenant.Connection, string, string) delivery.Header { return delivery.Header{} },
		})
		if err != nil {
			t.Fatal(err)
		}
		w := &world{t: t, log: memory.NewLog(1), connections: []tenant.Connection{connection("c", "https://crm.example/")}}
		rec, err := commands.NewRecorder(commands.RecorderConfig{Log: w.log, Phones: phone.Numbers{}})
		if err != nil {
			t.Fatal(err)
		}
		w.asker, err = crm.New(crm.Config{
			Directory: w, Parties: w, Recorder: rec, Client: client, Clock: time.Now, Logger: slog.New(slog.DiscardHandler),
			Read: func([]byte) (contact.Fields, error) { return contact.Fields{}, nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		w.tap = crm.Tap{Log: w.log, Asker: w.asker}
		for _, id := range []string{"1", "2", "3"} {
			w.outbound(id, sally)
		}
		synctest.Wait()
		if err := w.asker.Stop(context.Background()); err != nil {
			t.Fatal(err)
		}
		if n := dials.Load(); n != 1 {
			t.Errorf("asked %d times", n)
		}
	})
}
