package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// nobody is the overflow id, which every Linux has even without an entry in
// /etc/passwd.
const nobody = 65534

// account is who runs the server. Postgres refuses to run as root.
type account struct {
	uid, gid uint32
	switched bool // we are root and become that user
	// caps lets the account reach its data through directories that are closed
	// to it, like /root; empty where the way is open.
	caps []uintptr
}

// chooseAccount picks who runs the server on pgdata, and how it gets there.
func chooseAccount(pgdata string) (account, error) {
	a, err := pickAccount(pgdata)
	if err != nil || !a.switched {
		return a, err
	}
	dir := a.blockedBy(pgdata)
	if dir == "" {
		return a, nil
	}
	c, ok := passingCapability()
	if !ok {
		return account{}, fmt.Errorf("we run as root, Postgres must not and would run as uid %d, which cannot enter %s: set TRUNKLINE_DATA_DIR to a directory elsewhere, or `chmod o+x %s`", a.uid, dir, dir)
	}
	a.caps = []uintptr{c}
	return a, nil
}

// passingCapability is the least of root's powers that opens every directory.
// Containers often have only the larger one.
func passingCapability() (c uintptr, ok bool) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var have [2]unix.CapUserData
	if err := unix.Capget(&header, &have[0]); err != nil {
		return 0, false
	}
	for _, c := range []uintptr{unix.CAP_DAC_READ_SEARCH, unix.CAP_DAC_OVERRIDE} {
		if have[0].Permitted&(1<<c) != 0 {
			return c, true
		}
	}
	return 0, false
}

// pickAccount picks us, or, for root, the owner of what is there already, else
// the first of postgres, nobody and the overflow id.
func pickAccount(pgdata string) (account, error) {
	me := account{uid: uint32(os.Geteuid()), gid: uint32(os.Getegid())}
	owner, exists, err := ownerOf(pgdata)
	if err != nil {
		return account{}, err
	}
	if me.uid != 0 {
		if exists && owner.uid != me.uid {
			return account{}, fmt.Errorf("%s belongs to uid %d and we run as uid %d: start as the user who made it (root, for example), or `sudo chown -R %d:%d` the data directory",
				pgdata, owner.uid, me.uid, me.uid, me.gid)
		}
		return me, nil
	}
	if exists && owner.uid != 0 {
		owner.switched = true
		return owner, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		if a, ok := lookup(name); ok {
			return a, nil
		}
	}
	return account{uid: nobody, gid: nobody, switched: true}, nil
}

func lookup(name string) (account, bool) {
	u, err := user.Lookup(name)
	if err != nil {
		return account{}, false
	}
	uid, errUID := strconv.ParseUint(u.Uid, 10, 32)
	gid, errGID := strconv.ParseUint(u.Gid, 10, 32)
	if errUID != nil || errGID != nil || uid == 0 {
		return account{}, false
	}
	return account{uid: uint32(uid), gid: uint32(gid), switched: true}, true
}

func ownerOf(path string) (a account, exists bool, err error) {
	fi, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return account{}, false, nil
	}
	if err != nil {
		return account{}, false, err
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return account{}, false, fmt.Errorf("reading the owner of %s", path)
	}
	return account{uid: st.Uid, gid: st.Gid}, true, nil
}

// credential is what a child needs to become the account.
func (a account) credential() *syscall.Credential {
	if !a.switched {
		return nil
	}
	return &syscall.Credential{Uid: a.uid, Gid: a.gid}
}

// blockedBy names the first directory on the way to path that the account may
// not pass, "" if there is none. Access lists are not looked at: they are rare,
// and an unneeded detour does no harm.
func (a account) blockedBy(path string) string {
	if !a.switched {
		return ""
	}
	var blocked string // the outermost: opening an inner one alone would not help
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		fi, err := os.Stat(dir)
		if err == nil && !a.mayPass(fi) {
			blocked = dir
		}
		if dir == filepath.Dir(dir) {
			return blocked
		}
	}
}

func (a account) mayPass(dir fs.FileInfo) bool {
	st, ok := dir.Sys().(*syscall.Stat_t)
	if !ok {
		return true
	}
	mode := dir.Mode().Perm()
	switch {
	case st.Uid == a.uid:
		return mode&0o100 != 0
	case st.Gid == a.gid:
		return mode&0o010 != 0
	}
	return mode&0o001 != 0
}
