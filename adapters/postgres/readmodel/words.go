package readmodel

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// difference says in words how a row differs between two tables. Values are
// named by their columns only: they may hold personal data.
func difference(table string, key []string, a, b string, x, y map[string]any) string {
	row := x
	if row == nil {
		row = y
	}
	var id []string
	for _, k := range key {
		id = append(id, fmt.Sprint(row[k]))
	}
	name := fmt.Sprintf("%s %s", table, strings.Join(id, "/"))
	switch {
	case x == nil:
		return fmt.Sprintf("%s: only in %s", name, b)
	case y == nil:
		return fmt.Sprintf("%s: only in %s", name, a)
	}
	var columns []string
	for _, c := range slices.Sorted(maps.Keys(x)) {
		if fmt.Sprint(x[c]) != fmt.Sprint(y[c]) {
			columns = append(columns, c)
		}
	}
	return fmt.Sprintf("%s: %s differ between %s and %s", name, strings.Join(columns, ", "), a, b)
}
