package dialects

import "strings"

// All returns the dialects, ours first. This is the list: a new system is one
// file, one golden and one line here.
func All() []Dialect {
	return []Dialect{
		Trunkline{},
		Dylr{},
		Dialnote{},
		DialerCX{},
		Allo{},
		AlloV2{},
		Symbo{},
		Symbo2025{},
	}
}

// Get returns the dialect of a name.
func Get(name string) (Dialect, bool) {
	for _, d := range All() {
		if d.Name() == name {
			return d, true
		}
	}
	return nil, false
}

// Names returns the names of all dialects, for messages to people.
func Names() []string {
	all := All()
	names := make([]string, len(all))
	for i, d := range all {
		names[i] = d.Name()
	}
	return names
}

// LooksUp reports whether systems that speak a dialect look contacts up on dial.
func LooksUp(name string) bool {
	return name == Symbo{}.Name() || name == Symbo2025{}.Name()
}

// SignedByStandard reports whether the Standard Webhooks headers, which others
// get besides their own, are a dialect's signature.
func SignedByStandard(name string) bool { return name == AlloV2{}.Name() }

// Subscribable reports whether an endpoint of a dialect may list an event name.
// Only our own dialect knows patterns: "*" and "call.*".
func Subscribable(d Dialect, name string) bool {
	prefix, isPattern := strings.CutSuffix(name, "*")
	isPattern = isPattern && d.Name() == Trunkline{}.Name() && (prefix == "" || strings.HasSuffix(prefix, "."))
	for _, known := range d.Events() {
		if known == name || isPattern && strings.HasPrefix(known, prefix) {
			return true
		}
	}
	return false
}
