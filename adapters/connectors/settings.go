package connectors

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/delivery"
)

// faults collects what is wrong with a connector's settings.
type faults struct{ list []commands.FieldError }

func (f *faults) add(pointer, format string, args ...any) {
	f.list = append(f.list, commands.FieldError{Pointer: pointer, Detail: fmt.Sprintf(format, args...)})
}

// inFlight is how much may be under way to a connector that does not say:
// uploads are large, and the other systems count requests.
const inFlight = 4

// Prepare completes a connector from what was asked for and says everything
// that is wrong with it, as a *commands.Invalid.
func (s *Set) Prepare(e *delivery.Endpoint) error {
	k, ok := s.byName[e.Connector]
	if !ok {
		return &commands.Invalid{Errors: []commands.FieldError{{Pointer: "/kind", Detail: "expected one of " + strings.Join(s.Kinds(), ", ")}}}
	}
	var f faults
	e.Dialect = k.name()
	known := k.triggers()
	k.prepare(&f, e)
	if len(e.Events) == 0 {
		e.Events = known.defaults()
	}
	if e.Dialect == k.name() { // else the events are those of another format
		f.events(e.Events, known.events)
	}
	for _, name := range slices.Sorted(maps.Keys(e.Mapping)) {
		if err := checkTemplate(e.Mapping[name]); err != nil {
			f.add("/mapping/"+escape(name), "%s", err)
		}
	}
	if e.MaxInFlight == 0 {
		e.MaxInFlight = inFlight
	}
	if len(f.list) > 0 {
		return &commands.Invalid{Errors: f.list}
	}
	return nil
}

func (f *faults) events(got, known []string) {
	for i, name := range got {
		if !slices.Contains(known, name) {
			f.add(fmt.Sprintf("/events/%d", i), "expected one of %s", strings.Join(known, ", "))
		}
		if slices.Contains(got[:i], name) {
			f.add(fmt.Sprintf("/events/%d", i), "%q is listed twice", name)
		}
	}
}

// read reads the config of an endpoint strictly.
func read[T any](f *faults, e *delivery.Endpoint) T {
	var c T
	if len(e.Config) == 0 {
		return c
	}
	err := commands.Decode(e.Config, &c)
	var invalid *commands.Invalid
	if errors.As(err, &invalid) {
		for _, at := range invalid.Errors {
			f.add("/config"+at.Pointer, "%s", at.Detail)
		}
	} else if err != nil {
		f.add("/config", "%s", err)
	}
	return c
}

// credentials checks that those needed are there and that all are known.
func (f *faults) credentials(e *delivery.Endpoint, needed, optional []string) {
	for _, name := range needed {
		if e.Credentials[name] == "" {
			f.add("/credentials/"+name, "required")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(e.Credentials)) {
		if !slices.Contains(needed, name) && !slices.Contains(optional, name) {
			f.add("/credentials/"+escape(name), "not known; expected %s", strings.Join(append(slices.Clone(needed), optional...), ", "))
		}
	}
}

// noMapping refuses a mapping where there are no fields to fill.
func (f *faults) noMapping(e *delivery.Endpoint) {
	if len(e.Mapping) > 0 {
		f.add("/mapping", "%s has no fields to fill", e.Connector)
	}
}

// address is the URL of another system: as configured, or its own. It ends
// without a slash.
func (f *faults) address(s *Set, pointer, configured, own string) string {
	if configured == "" {
		return own
	}
	if err := s.cfg.CheckURL(configured); err != nil {
		f.add(pointer, "%s", err)
	}
	if strings.ContainsAny(configured, "?#") {
		f.add(pointer, "expected a URL without ? and #")
	}
	return strings.TrimRight(configured, "/")
}

// template checks a text with placeholders.
func (f *faults) template(pointer, tpl string) {
	if err := checkTemplate(tpl); err != nil {
		f.add(pointer, "%s", err)
	}
}

// privateKey checks that a key can sign.
func (f *faults) privateKey(pointer, text string) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		f.add(pointer, "expected a private key in PEM: -----BEGIN PRIVATE KEY-----")
		return
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	}
	if _, isRSA := key.(*rsa.PrivateKey); err != nil || !isRSA {
		f.add(pointer, "expected an RSA private key in PEM, not encrypted")
	}
}

// escape makes a key a reference token of a JSON Pointer (RFC 6901).
func escape(key string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(key) }
