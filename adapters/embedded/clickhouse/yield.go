package clickhouse

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
)

// niceness is how much the engine yields to the hub where both want the
// processor. It inserts and merges on as many threads as the machine has; on a
// small machine each insert held calls and webhooks up for 20 to 60 ms.
const niceness = 10

// yield gives way to other processes. A priority is a thread's, and new threads
// have that of the one that makes them, so it is called before there is an engine;
// twice over, for a thread that Go has made meanwhile.
func yield() error {
	for range 2 {
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return fmt.Errorf("listing the engine's threads: %w", err)
		}
		for _, t := range threads {
			id, err := strconv.Atoi(t.Name())
			if err != nil {
				continue
			}
			if err := giveWay(id); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("lowering the engine's priority: %w", err)
			}
		}
	}
	return nil
}

// giveWay lowers a thread's priority. One that is lower stays: only root may raise it.
func giveWay(thread int) error {
	if now, err := nicenessOf(thread); err != nil || now >= niceness {
		return err
	}
	return syscall.Setpriority(syscall.PRIO_PROCESS, thread, niceness)
}

// nicenessOf reads what the system call answers as 20 less the niceness.
func nicenessOf(thread int) (int, error) {
	priority, err := syscall.Getpriority(syscall.PRIO_PROCESS, thread)
	return 20 - priority, err
}
