package clickhouse

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

func TestAnEngineAtWorkIsSeen(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("sh", "-c", "while :; do :; done")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	looks := time.NewTicker(pollEvery)
	defer looks.Stop()
	for !effortOf(cmd.Process.Pid).since(effort{}) {
		<-looks.C
	}
	if e := effortOf(os.Getpid()); e.since(e) {
		t.Error("who did nothing was at work")
	}
}
