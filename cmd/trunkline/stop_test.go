package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
)

// TestAStartThatIsBrokenOffIsNoFailure ends a hub that waits for its services: an
// orchestrator that asked for it would take any other exit code for a crash.
func TestAStartThatIsBrokenOffIsNoFailure(t *testing.T) {
	t.Parallel()
	nobody := freePorts(t, 1)[0]
	h := newHub(t, map[string]string{
		"TRUNKLINE_KAFKA_BROKERS": nobody, "TRUNKLINE_POSTGRES_URL": "postgres://hub@" + nobody + "/hub", "TRUNKLINE_CLICKHOUSE_URL": "http://" + nobody + "/hub",
	})
	h.launch()
	eventually(t, "a hub that waits for Kafka", func(context.Context) error {
		if !strings.Contains(h.out.String(), "service=Kafka") {
			return errors.New(h.out.String())
		}
		return nil
	})
	if code := h.terminate(); code != 0 || strings.Contains(h.out.String(), "trunkline: ") {
		t.Errorf("SIGTERM: exit code %d:\n%s", code, h.out)
	}
}

// TestRequestsUnderWayAreFinishedFirst ends a hub in the middle of a request: it
// takes no new one from then on, and answers this one as if nothing were.
func TestRequestsUnderWayAreFinishedFirst(t *testing.T) {
	t.Parallel()
	h := newHub(t, nil)
	h.start()
	admin := h.as(t, h.env["TRUNKLINE_ADMIN_KEY"])
	in, out := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.base()+"/v1/leads", in)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+admin.key)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Expect", "100-continue") // nothing is sent before the hub reads it
	transport := &http.Transport{ExpectContinueTimeout: patience}
	t.Cleanup(transport.CloseIdleConnections)
	answered := make(chan answer, 1)
	go func() {
		a := answer{t: t, asked: "a lead"}
		resp, err := transport.RoundTrip(req)
		if err != nil {
			a.body = []byte(err.Error())
		} else {
			a.status = resp.StatusCode
			a.body, _ = io.ReadAll(resp.Body)
			resp.Body.Close()
		}
		answered <- a
	}()
	if _, err := io.WriteString(out, `{"phone":"(415) 555-0100",`); err != nil {
		t.Fatal(err)
	}
	if err := h.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a hub that takes no new request", func(ctx context.Context) error {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", h.env["TRUNKLINE_HTTP_ADDR"])
		if err == nil {
			conn.Close()
			return errors.New("it does")
		}
		return nil
	})
	_, _ = io.WriteString(out, `"name":"Sally Sample"}`) // the answer says how that went
	_ = out.Close()
	lead := (<-answered).want(http.StatusOK).text("leads", 0, "id")
	<-h.ended
	if code := h.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("SIGTERM: exit code %d:\n%s", code, h.out)
	}
	h.cmd = nil
	h.start()
	admin.get("/v1/leads/" + lead).want(http.StatusOK)
}
