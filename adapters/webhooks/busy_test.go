package webhooks

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A machine whose processors all spin is busy.
func TestASpinningMachineIsBusy(t *testing.T) {
	t.Parallel()
	if _, _, ok := processorTimes(); !ok {
		if runtime.GOOS == "linux" {
			t.Fatal("/proc/stat cannot be read")
		}
		if MachineBusy()() {
			t.Fatal("busy, without knowing")
		}
		return
	}
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range runtime.NumCPU() {
		wg.Go(func() {
			for !stop.Load() { // that it spins is the point
			}
		})
	}
	defer wg.Wait()
	defer stop.Store(true)
	busy := MachineBusy()
	tick := time.NewTicker(busyWindow)
	defer tick.Stop()
	for range 400 {
		if busy() {
			return
		}
		<-tick.C
	}
	t.Error("every processor spins, and the machine is not busy")
}
