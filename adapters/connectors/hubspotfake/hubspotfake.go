// Package hubspotfake is a HubSpot account for tests: contact and call search by
// POST, call engagements with associations, batch upsert by a unique property,
// files by multipart, private app tokens; with the shapes and the refusals of
// api.hubapi.com. Search lags behind, as it does there.
package hubspotfake

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"unicode/utf16"

	"github.com/nyaruka/phonenumbers"

	"trunkline.dev/trunkline/adapters/connectors/internal/fake"
)

// What it knows.
const (
	Token = "pat-na1-11111111-2222-3333-4444-555555555555"
	// Unique is a property of calls with unique values.
	Unique = "trunkline_call_id"
)

// Object is a contact or a call.
type Object struct {
	ID         string         `json:"id"`
	Properties map[string]any `json:"properties"`
	// Contacts are those that a call is associated with.
	Contacts []string `json:"-"`
	// fresh objects are not found by search.
	fresh bool
}

// Account is the fake.
type Account struct {
	*fake.Server
	// Scopes are the private app's.
	Scopes []string
	// Lags keeps what is new from being found.
	Lags bool

	mu      sync.Mutex
	n       int
	objects map[string][]*Object
	files   []File
}

// New starts an account. Paths are those of v3 and of 2026-03.
func New() *Account {
	a := &Account{
		Scopes:  []string{"crm.objects.contacts.read", "crm.objects.contacts.write", "files", "crm.objects.owners.read"},
		objects: make(map[string][]*Object),
	}
	mux := http.NewServeMux()
	for pattern, do := range map[string]http.HandlerFunc{
		"POST /oauth/v2/private-apps/get/access-token-info":                      a.tokenInfo,
		"GET /crm/v3/owners/":                                                    a.owners,
		"GET /crm/v3/properties/calls":                                           a.properties,
		"PUT /crm/v4/objects/calls/{id}/associations/default/contacts/{contact}": a.associate,
	} {
		mux.HandleFunc(pattern, a.authorized(do))
	}
	for _, root := range []struct{ crm, files string }{{"/crm/v3/objects", "/files/v3/files"}, {"/crm/objects/2026-03", "/files/2026-03/files"}} {
		for pattern, do := range map[string]http.HandlerFunc{
			"POST " + root.crm + "/{object}/search":    a.search,
			"GET " + root.crm + "/{object}/{id}":       a.read,
			"POST " + root.crm + "/{object}":           a.create,
			"PATCH " + root.crm + "/calls/{id}":        a.update,
			"POST " + root.crm + "/calls/batch/upsert": a.upsert,
			"POST " + root.files:                       a.upload,
		} {
			mux.HandleFunc(pattern, a.authorized(do))
		}
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		a.Complain("there is no %s %s", r.Method, r.URL.Path)
		refuse(w, http.StatusNotFound, "OBJECT_NOT_FOUND", "resource not found")
	})
	a.Server = fake.Serve(mux)
	return a
}

// AddContact adds a contact that search finds.
func (a *Account) AddContact(properties map[string]any) string {
	o := a.add("contacts", properties)
	o.fresh = false
	return o.ID
}

// Index lets search find all that was made.
func (a *Account) Index() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, all := range a.objects {
		for _, o := range all {
			o.fresh = false
		}
	}
}

func (a *Account) add(object string, properties map[string]any) *Object {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.n++
	o := &Object{ID: fmt.Sprint(1000 + a.n), Properties: properties, fresh: a.Lags}
	a.objects[object] = append(a.objects[object], o)
	return o
}

// Objects are those of a kind.
func (a *Account) Objects(object string) []Object {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []Object
	for _, o := range a.objects[object] {
		c := *o
		c.Properties = maps.Clone(o.Properties)
		out = append(out, c)
	}
	return out
}

func refuse(w http.ResponseWriter, status int, category, message string) {
	fake.Answer(w, status, map[string]string{"status": "error", "message": message, "category": category, "correlationId": "aeb5f871"})
}

func (a *Account) authorized(do http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+Token {
			refuse(w, http.StatusUnauthorized, "INVALID_AUTHENTICATION", "Authentication credentials not found.")
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodPut && !strings.HasPrefix(r.URL.Path, "/files") && r.Header.Get("Content-Type") != "application/json" {
			a.Complain("%s %s as %q", r.Method, r.URL.Path, r.Header.Get("Content-Type"))
		}
		do(w, r)
	}
}

func (a *Account) tokenInfo(w http.ResponseWriter, r *http.Request) {
	var in map[string]string
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in["tokenKey"] != Token {
		refuse(w, http.StatusBadRequest, "VALIDATION_ERROR", "tokenKey")
		return
	}
	fake.Answer(w, http.StatusOK, map[string]any{"userId": 1, "hubId": 12345, "appId": 6, "scopes": a.Scopes})
}

func (a *Account) owners(w http.ResponseWriter, r *http.Request) {
	results := []any{}
	if r.URL.Query().Get("email") == "jane@company.com" {
		results = append(results, map[string]any{"id": "77", "email": "jane@company.com"})
	}
	fake.Answer(w, http.StatusOK, map[string]any{"results": results})
}

// callProperties are those that calls have.
var callProperties = []string{
	"hs_timestamp", "hs_call_title", "hs_call_body", "hs_call_direction", "hs_call_duration", "hs_call_from_number", "hs_call_to_number", "hs_call_status",
	"hs_call_disposition", "hs_call_recording_url", "hs_attachment_ids", "hs_call_external_id", "hubspot_owner_id", "score", Unique,
}

func (a *Account) properties(w http.ResponseWriter, _ *http.Request) {
	results := []any{}
	for _, p := range callProperties {
		results = append(results, map[string]any{"name": p, "hasUniqueValue": p == Unique})
	}
	fake.Answer(w, http.StatusOK, map[string]any{"results": results})
}

func (a *Account) search(w http.ResponseWriter, r *http.Request) {
	var in struct {
		FilterGroups []struct {
			Filters []struct {
				PropertyName, Operator, Value string
				Values                        []string
			}
		}
		Properties []string
		Sorts      []json.RawMessage // "-name", or {propertyName, direction}
		Limit      int
		After      json.RawMessage
		Query      string
	}
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil || len(in.FilterGroups) == 0 || len(in.FilterGroups) > 5 || in.Limit < 1 || in.Limit > 200 {
		refuse(w, http.StatusBadRequest, "VALIDATION_ERROR", fmt.Sprintf("invalid input JSON: %v", err))
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	results := []Object{}
	of := a.objects[r.PathValue("object")]
	for i := len(of) - 1; i >= 0 && len(results) < in.Limit; i-- {
		o := of[i]
		if o.fresh {
			continue
		}
		matches := slices.ContainsFunc(in.FilterGroups, func(g struct {
			Filters []struct {
				PropertyName, Operator, Value string
				Values                        []string
			}
		},
		) bool {
			for _, f := range g.Filters {
				value := fmt.Sprint(property(o, f.PropertyName))
				switch f.Operator {
				case "EQ":
					if value != f.Value {
						return false
					}
				case "IN":
					if !slices.Contains(f.Values, strings.ToLower(value)) {
						return false
					}
				default:
					a.Complain("the operator %q", f.Operator)
				}
			}
			return true
		})
		if matches {
			results = append(results, *o)
		}
	}
	fake.Answer(w, http.StatusOK, map[string]any{"total": len(results), "results": results})
}

// property is one of an object, calculated ones too: national digits, of a number
// without its country as one of the account's, which is in the United States.
func property(o *Object, name string) any {
	of := map[string]string{"hs_searchable_calculated_phone_number": "phone", "hs_searchable_calculated_mobile_number": "mobilephone"}[name]
	if of == "" {
		return o.Properties[name]
	}
	written, _ := o.Properties[of].(string)
	n, err := phonenumbers.Parse(written, "US")
	if err != nil {
		return ""
	}
	return phonenumbers.GetNationalSignificantNumber(n)
}

// valid holds properties to what calls have.
func (a *Account) valid(w http.ResponseWriter, object string, properties map[string]any) bool {
	for name, v := range properties {
		if _, text := v.(string); !text {
			a.Complain("%s is a %T: values of properties are strings", name, v)
		}
		if object == "calls" && !slices.Contains(callProperties, name) {
			refuse(w, http.StatusBadRequest, "VALIDATION_ERROR", `Property values were not valid: [{"isValid":false,"message":"Property \"`+name+`\" does not exist"}]`)
			return false
		}
		if s, _ := v.(string); len(utf16.Encode([]rune(s))) > 65_536 {
			refuse(w, http.StatusBadRequest, "VALIDATION_ERROR", `Property values were not valid: [{"isValid":false,"message":"`+name+` is too long"}]`)
			return false
		}
		switch s, _ := v.(string); name {
		case "email":
			if !fake.Address(s) {
				refuse(w, http.StatusBadRequest, "VALIDATION_ERROR", `Property values were not valid: [{"isValid":false,"message":"Email address `+s+` is invalid","error":"INVALID_EMAIL"}]`)
				return false
			}
		case "hs_call_direction":
			if s != "INBOUND" && s != "OUTBOUND" {
				a.Complain("a direction of %v", v)
			}
		case "hs_call_duration":
			if len(s) < 4 {
				a.Complain("a duration of %v is not in milliseconds", v)
			}
		}
	}
	return true
}

func (a *Account) create(w http.ResponseWriter, r *http.Request) {
	object := r.PathValue("object")
	var in struct {
		Properties   map[string]any
		Associations []struct {
			To    struct{ ID string }
			Types []struct {
				AssociationCategory string
				AssociationTypeID   int `json:"associationTypeId"`
			}
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || !a.valid(w, object, in.Properties) {
		return
	}
	if object == "calls" && in.Properties["hs_timestamp"] == nil {
		refuse(w, http.StatusBadRequest, "VALIDATION_ERROR", "hs_timestamp is required")
		return
	}
	if object == "contacts" {
		for _, c := range a.Objects("contacts") {
			if e := in.Properties["email"]; e != nil && c.Properties["email"] == e {
				refuse(w, http.StatusConflict, "CONFLICT", "Contact already exists. Existing ID: "+c.ID)
				return
			}
		}
	}
	o := a.add(object, in.Properties)
	for _, as := range in.Associations {
		if len(as.Types) != 1 || as.Types[0].AssociationCategory != "HUBSPOT_DEFINED" || as.Types[0].AssociationTypeID != 194 {
			a.Complain("an association of types %+v", as.Types)
		}
		o.Contacts = append(o.Contacts, as.To.ID)
	}
	fake.Answer(w, http.StatusCreated, o)
}

func (a *Account) update(w http.ResponseWriter, r *http.Request) {
	var in struct{ Properties map[string]any }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || !a.valid(w, "calls", in.Properties) {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, o := range a.objects["calls"] {
		if o.ID == r.PathValue("id") {
			maps.Copy(o.Properties, in.Properties)
			fake.Answer(w, http.StatusOK, o)
			return
		}
	}
	refuse(w, http.StatusNotFound, "OBJECT_NOT_FOUND", "resource not found")
}

// read answers with the properties that are asked for.
func (a *Account) read(w http.ResponseWriter, r *http.Request) {
	for _, o := range a.Objects(r.PathValue("object")) {
		if o.ID == r.PathValue("id") {
			asked := strings.Split(r.URL.Query().Get("properties"), ",")
			maps.DeleteFunc(o.Properties, func(name string, _ any) bool { return !slices.Contains(asked, name) })
			fake.Answer(w, http.StatusOK, o)
			return
		}
	}
	refuse(w, http.StatusNotFound, "OBJECT_NOT_FOUND", "resource not found")
}

// Delete deletes all objects of a kind, as a person would.
func (a *Account) Delete(object string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.objects[object] = nil
}

func (a *Account) upsert(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Inputs []struct {
			IDProperty string `json:"idProperty"`
			ID         string `json:"id"`
			Properties map[string]any
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || len(in.Inputs) != 1 || in.Inputs[0].IDProperty != Unique || !a.valid(w, "calls", in.Inputs[0].Properties) {
		a.Complain("an upsert of %+v: %v", in, err)
		refuse(w, http.StatusBadRequest, "VALIDATION_ERROR", "idProperty must be unique")
		return
	}
	one := in.Inputs[0]
	a.mu.Lock()
	var o *Object
	for _, have := range a.objects["calls"] {
		if have.Properties[Unique] == one.ID {
			o = have
			maps.Copy(o.Properties, one.Properties)
		}
	}
	a.mu.Unlock()
	if o == nil {
		one.Properties[Unique] = one.ID
		o = a.add("calls", one.Properties)
	}
	fake.Answer(w, http.StatusOK, map[string]any{"status": "COMPLETE", "results": []any{o}})
}

func (a *Account) associate(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, o := range a.objects["calls"] {
		if o.ID == r.PathValue("id") {
			if c := r.PathValue("contact"); !slices.Contains(o.Contacts, c) {
				o.Contacts = append(o.Contacts, c)
			}
			fake.Answer(w, http.StatusOK, map[string]any{"status": "COMPLETE", "results": []any{}})
			return
		}
	}
	refuse(w, http.StatusNotFound, "OBJECT_NOT_FOUND", "resource not found")
}
