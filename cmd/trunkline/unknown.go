package main

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// settingPrefix is what the names of all settings begin with.
const settingPrefix = "TRUNKLINE_"

// links are what Kubernetes tells every pod of a Service, and Docker a container of
// a linked one, here of those whose names begin with trunkline. By the name alone
// TRUNKLINE_HTTP_PORT could be meant as a setting: a link is known by its value.
var links = []struct{ name, value *regexp.Regexp }{
	{regexp.MustCompile(`^TRUNKLINE(_[A-Z0-9_]+)?_SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)$`), regexp.MustCompile(``)},
	{regexp.MustCompile(`^TRUNKLINE(_[A-Z0-9_]+)?_PORT(_[0-9]+_(TCP|UDP|SCTP))?$`), regexp.MustCompile(`^[a-z]+://`)},
	{regexp.MustCompile(`^TRUNKLINE(_[A-Z0-9_]+)?_PORT_[0-9]+_(TCP|UDP|SCTP)_(PROTO|PORT|ADDR)$`), regexp.MustCompile(``)},
	{regexp.MustCompile(`^TRUNKLINE(_[A-Z0-9_]+)?_NAME$`), regexp.MustCompile(`^/`)},
	{regexp.MustCompile(`^TRUNKLINE(_[A-Z0-9_]+)?_ENV_`), regexp.MustCompile(``)},
}

// unknownSettings returns one line for each variable that is named like a setting
// and is none: a hub with a misspelled setting would run without it.
func unknownSettings(environ []string) error {
	known := variables(reflect.TypeFor[Config](), reflect.TypeFor[cli]())
	var errs []error
	for _, v := range environ {
		name, value, _ := strings.Cut(v, "=")
		if !strings.HasPrefix(name, settingPrefix) || slices.Contains(known, name) || isLink(name, value) {
			continue
		}
		closest := slices.MinFunc(known, func(a, b string) int { return distance(name, a) - distance(name, b) })
		errs = append(errs, fmt.Errorf("%s: there is no such setting; the closest is %s", name, closest))
	}
	return errors.Join(errs...)
}

func isLink(name, value string) bool {
	for _, l := range links {
		if l.name.MatchString(name) && l.value.MatchString(value) {
			return true
		}
	}
	return false
}

// variables are the environment variables that structs take their fields from.
func variables(types ...reflect.Type) []string {
	var names []string
	for _, t := range types {
		for i := range t.NumField() {
			f := t.Field(i)
			if name := f.Tag.Get("env"); name != "" {
				names = append(names, name)
			} else if f.Type.Kind() == reflect.Struct {
				names = append(names, variables(f.Type)...)
			}
		}
	}
	return names
}

// distance is how many letters must be added, left out or changed to make one name of
// the other.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		left := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := left
			if a[i] != b[j] {
				change++
			}
			left = row[j+1]
			row[j+1] = min(row[j]+1, row[j+1]+1, change)
		}
	}
	return row[len(b)]
}
