package clickhouse

import (
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"unsafe"

	"github.com/ebitengine/purego"
)

// childEnv tells a process that it is to be the engine: its library, its
// directory and its two ports.
const childEnv = "TRUNKLINE_ENGINE_CHILD"

// childOrder is the value of childEnv.
type childOrder struct {
	Lib   string   `json:"lib"`
	Dir   string   `json:"dir"`
	Ports []uint64 `json:"ports"`
}

// MaybeRunChild turns this process into the engine if an Engine started it for
// that, and then never returns. It must be the first statement of main and of
// every TestMain that starts an Engine: whatever runs before it runs in the
// child as well.
func MaybeRunChild() {
	value := os.Getenv(childEnv)
	if value == "" {
		return
	}
	var order childOrder
	if err := json.Unmarshal([]byte(value), &order); err != nil {
		fmt.Fprintf(os.Stderr, "reading %s: %v\n", childEnv, err)
		os.Exit(69)
	}
	runtime.LockOSThread()
	os.Exit(runChild(order, os.Args[1:]))
}

// runChild is clickhouse-local's main, which libchdb exports under another name.
func runChild(order childOrder, args []string) int {
	// The pipe ends us, in order. A terminal's or a service manager's signal goes
	// to every process at once, and would end us under the hub's last writes.
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGPIPE)

	if err := yield(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 75
	}
	if err := confine(order.Dir, order.Lib, order.Ports); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 74
	}
	handle, err := purego.Dlopen(order.Lib, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		fmt.Fprintln(os.Stderr, "loading the engine:", err)
		return 70
	}
	var (
		setSignalHandlers func(int32)
		queryCmdline      func(argc int32, argv **byte) unsafe.Pointer
		resultError       func(unsafe.Pointer) *byte
	)
	for name, f := range map[string]any{
		"chdb_set_signal_handlers_enabled": &setSignalHandlers,
		"chdb_query_cmdline":               &queryCmdline,
		"chdb_result_error":                &resultError,
	} {
		if _, err := purego.Dlsym(handle, name); err != nil {
			fmt.Fprintln(os.Stderr, "this libchdb cannot serve:", err)
			return 71
		}
		purego.RegisterLibFunc(f, handle, name)
	}
	keepSignalHandlers(func() { setSignalHandlers(0) })

	// The engine keeps argv for as long as it runs. Without the Unpin at the end
	// the garbage collector finds the pinner unused, some minutes later, and ends
	// the program for it.
	var pin runtime.Pinner
	defer pin.Unpin()
	argv := make([]*byte, 0, len(args)+2)
	for _, a := range append([]string{"clickhouse-local"}, args...) {
		b := append([]byte(a), 0)
		pin.Pin(&b[0])
		argv = append(argv, &b[0])
	}
	argv = append(argv, nil)
	pin.Pin(&argv[0])
	result := queryCmdline(int32(len(argv)-1), &argv[0])
	if result == nil {
		fmt.Fprintln(os.Stderr, "the engine gave no result")
		return 72
	}
	if e := resultError(result); e != nil {
		fmt.Fprintln(os.Stderr, cString(e))
		return 73
	}
	return 0
}

func cString(p *byte) string {
	n := 0
	for *(*byte)(unsafe.Add(unsafe.Pointer(p), n)) != 0 {
		n++
	}
	return string(unsafe.Slice(p, n))
}

// keepSignalHandlers runs f and puts the handlers back that stood before it.
// Switching libchdb's own handlers off also resets the process's handlers of the
// fatal signals, and the Go runtime cannot do without its own.
func keepSignalHandlers(f func()) {
	libc, err := purego.Dlopen("", purego.RTLD_NOW)
	if err != nil {
		f()
		return
	}
	var sigaction func(sig int32, set, old unsafe.Pointer) int32
	purego.RegisterLibFunc(&sigaction, libc, "sigaction")
	signals := []syscall.Signal{
		syscall.SIGILL, syscall.SIGABRT, syscall.SIGFPE, syscall.SIGBUS, syscall.SIGSEGV, syscall.SIGTRAP,
		syscall.SIGURG, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGPIPE,
	}
	// struct sigaction has 152 bytes on Linux; its layout is of no interest here.
	saved := make([][256]byte, len(signals))
	for i, s := range signals {
		sigaction(int32(s), nil, unsafe.Pointer(&saved[i][0]))
	}
	f()
	for i, s := range signals {
		sigaction(int32(s), unsafe.Pointer(&saved[i][0]), nil)
	}
}
