package salesforcefake

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"trunkline.dev/trunkline/adapters/connectors/internal/fake"
)

var sosl = regexp.MustCompile(`^FIND \{([^}]*)\} IN PHONE FIELDS RETURNING Contact\(([\w, ]+) ORDER BY LastModifiedDate DESC LIMIT 20\), Lead\(([\w, ]+) WHERE IsConverted = false ORDER BY LastModifiedDate DESC LIMIT 20\)$`)

// phones are the phone fields of an object.
var phones = map[string][]string{
	"Contact": {"Phone", "MobilePhone", "HomePhone", "OtherPhone", "AssistantPhone", "Fax"}, "Lead": {"Phone", "MobilePhone", "Fax"},
}

func (o *Org) search(w http.ResponseWriter, r *http.Request) {
	m := sosl.FindStringSubmatch(r.URL.Query().Get("q"))
	if m == nil {
		o.Complain("SOSL: %s", r.URL.Query().Get("q"))
		refuse(w, http.StatusBadRequest, "MALFORMED_SEARCH", "No search term found")
		return
	}
	found := []Record{}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, term := range strings.Split(m[1], " OR ") {
		if len(term) < 2 || strings.Trim(term, "0123456789") != "" {
			o.Complain("a term of %q: reserved characters must be escaped, and numbers are found by digits", term)
		}
	}
	for i, object := range []string{"Contact", "Lead"} {
		names := strings.Split(m[2+i], ", ")
		for _, name := range names {
			if name != "Id" && name != "Name" && !slices.Contains(phones[object], name) || slices.Contains(o.Hidden, name) {
				refuse(w, http.StatusBadRequest, "INVALID_FIELD", "No such column '"+name+"' on entity '"+object+"'")
				return
			}
		}
		for _, r := range slices.Backward(o.objects[object]) { // the newest first
			if r["IsConverted"] == true || o.lagging[r["Id"].(string)] || !has(r, phones[object], strings.Split(m[1], " OR ")) {
				continue
			}
			one := Record{"attributes": map[string]string{"type": object, "url": "/x"}}
			for _, name := range names {
				one[name] = r[name]
			}
			found = append(found, one)
		}
	}
	fake.Answer(w, http.StatusOK, map[string]any{"searchRecords": found})
}

// has reports whether one of the phone fields has one of the terms: numbers are
// indexed by their digits.
func has(r Record, in, terms []string) bool {
	for _, f := range in {
		s, _ := r[f].(string)
		digits := fake.Digits(s)
		for _, t := range terms {
			if digits == t {
				return true
			}
		}
	}
	return false
}

var soql = regexp.MustCompile(`^SELECT ([\w, ]+) FROM (\w+) WHERE (\w+) = '((?:[^'\\]|\\.)*)'( AND (?:IsLatest|IsActive) = true| AND IsConverted = false)?( ORDER BY CreatedDate)?( LIMIT 1)?$`)

func (o *Org) query(w http.ResponseWriter, r *http.Request) {
	m := soql.FindStringSubmatch(r.URL.Query().Get("q"))
	if m == nil {
		o.Complain("SOQL: %s", r.URL.Query().Get("q"))
		refuse(w, http.StatusBadRequest, "MALFORMED_QUERY", "unexpected token")
		return
	}
	if slices.Contains(o.Hidden, m[3]) {
		refuse(w, http.StatusBadRequest, "INVALID_FIELD", "No such column '"+m[3]+"' on entity '"+m[2]+"'")
		return
	}
	value := regexp.MustCompile(`\\(.)`).ReplaceAllString(m[4], "$1")
	o.mu.Lock()
	defer o.mu.Unlock()
	found := []Record{}
	for _, r := range o.objects[m[2]] {
		if strings.HasSuffix(m[5], "= false") && r["IsConverted"] == true {
			continue
		}
		if fmt.Sprint(r[m[3]]) == value && len(found) == 0 {
			one := Record{"attributes": map[string]string{"type": m[2]}}
			for name := range strings.SplitSeq(m[1], ", ") {
				one[name] = r[name]
			}
			found = append(found, one)
		}
	}
	fake.Answer(w, http.StatusOK, map[string]any{"totalSize": len(found), "done": true, "records": found})
}
