package clickhouse

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// openPTY makes a terminal for the engine's stdin. clickhouse-local that runs
// interactively on a terminal survives exceptions of its connection threads;
// otherwise one client's TCP reset aborts the whole engine.
func openPTY() (master, slave *os.File, err error) {
	master, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("opening a terminal for the engine: %w", err)
	}
	n, err := unlock(master)
	if err == nil {
		slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("opening a terminal for the engine: %w", err), master.Close())
	}
	return master, slave, nil
}

// unlock makes the terminal's other end ready to be opened, and returns its
// number. Not by Fd, which would make the file blocking, and then Close could not
// end the read that drains it.
func unlock(master *os.File) (n int, err error) {
	raw, err := master.SyscallConn()
	if err != nil {
		return 0, err
	}
	var ioctlErr error
	err = raw.Control(func(fd uintptr) {
		if n, ioctlErr = unix.IoctlGetInt(int(fd), unix.TIOCGPTN); ioctlErr == nil {
			ioctlErr = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0)
		}
	})
	return n, errors.Join(err, ioctlErr)
}
