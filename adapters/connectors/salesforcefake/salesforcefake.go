// Package salesforcefake is a Salesforce org for tests: OAuth in three flows,
// SOSL by phone, SOQL by key, Task with an external id, ContentVersion by
// multipart, ContentDocumentLink; with the shapes and the refusals of its REST
// API.
package salesforcefake

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf16"

	"trunkline.dev/trunkline/adapters/connectors/internal/fake"
)

// What it knows.
const (
	ClientID     = "3MVG9consumerkey"
	ClientSecret = "consumer-secret"
	RefreshToken = "5Aep861refreshtoken"
	Username     = "integration@acme.example"
	Version      = "v62.0"
	// ExternalID is a field of Task that is an external id.
	ExternalID = "Trunkline_Call_Id__c"
	// Number is a field of Task that takes numbers only.
	Number = "Weight__c"
)

// Record is one of an object's.
type Record map[string]any

// Org is the fake.
type Org struct {
	*fake.Server
	// ReadOnly makes describes say that nothing may be created.
	ReadOnly bool
	// Hidden are fields that the user who signed in may not see.
	Hidden []string
	// Rule finds duplicates of new leads by name and company, as the rule does that
	// every org has from the beginning.
	Rule bool
	// States takes states of the lists of countries only, as an org does that has
	// state and country picklists.
	States bool

	mu      sync.Mutex
	tokens  map[string]bool
	n       int
	objects map[string][]Record
	files   []File
	links   []Record
	// lagging are the records that the index of phone numbers does not have yet.
	lagging map[string]bool
}

// New starts an org.
func New() *Org {
	o := &Org{tokens: make(map[string]bool), objects: make(map[string][]Record), lagging: make(map[string]bool)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /services/oauth2/token", o.token)
	data := "/services/data/" + Version
	for pattern, do := range map[string]http.HandlerFunc{
		"GET " + data + "/limits":                          o.limits,
		"GET " + data + "/search/":                         o.search,
		"GET " + data + "/query/":                          o.query,
		"GET " + data + "/sobjects/{object}/describe":      o.describe,
		"POST " + data + "/sobjects/{object}":              o.create,
		"POST " + data + "/sobjects/ContentVersion":        o.upload,
		"POST " + data + "/sobjects/ContentDocumentLink":   o.link,
		"PATCH " + data + "/sobjects/{object}/{id}":        o.update,
		"PATCH " + data + "/sobjects/{object}/{field}/{v}": o.upsert,
	} {
		mux.HandleFunc(pattern, o.authorized(do))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/services/data/v") {
			o.Complain("there is no %s %s", r.Method, r.URL.Path)
		}
		refuse(w, http.StatusNotFound, "NOT_FOUND", "The requested resource does not exist")
	})
	o.Server = fake.Serve(mux)
	return o
}

// Add adds a record.
func (o *Org) Add(object string, r Record) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.add(object, r)
}

func (o *Org) add(object string, r Record) string {
	prefix := map[string]string{"Contact": "003", "Lead": "00Q", "Task": "00T", "User": "005", "ContentVersion": "068", "ContentDocument": "069"}[object]
	o.n++
	r["Id"] = fmt.Sprintf("%s%012dAAA", prefix, o.n)
	o.objects[object] = append(o.objects[object], r)
	return r["Id"].(string)
}

// Records are those of an object.
func (o *Org) Records(object string) []Record {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]Record(nil), o.objects[object]...)
}

// Delete deletes all records of an object, as a person would.
func (o *Org) Delete(object string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.objects[object] = nil
}

// Lag makes the index of phone numbers forget the records of an object.
func (o *Org) Lag(object string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, r := range o.objects[object] {
		o.lagging[r["Id"].(string)] = true
	}
}

// Convert makes all leads a contact, as a person would who knows it already: it keeps
// its own number.
func (o *Org) Convert(contact string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, r := range o.objects["Lead"] {
		r["IsConverted"], r["ConvertedContactId"] = true, contact
	}
}

// EndSessions makes all tokens invalid.
func (o *Org) EndSessions() {
	o.mu.Lock()
	defer o.mu.Unlock()
	clear(o.tokens)
}

func refuse(w http.ResponseWriter, status int, code, message string, fields ...string) {
	e := map[string]any{"message": message, "errorCode": code}
	if len(fields) > 0 {
		e["fields"] = fields
	}
	fake.Answer(w, status, []any{e})
}

func (o *Org) token(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	no := func(code, text string) {
		fake.Answer(w, http.StatusBadRequest, map[string]string{"error": code, "error_description": text})
	}
	f := r.PostForm
	switch f.Get("grant_type") {
	case "refresh_token":
		if f.Get("client_id") != ClientID {
			no("invalid_client_id", "client identifier invalid")
			return
		}
		if f.Get("refresh_token") != RefreshToken {
			no("invalid_grant", "expired access/refresh token")
			return
		}
	case "client_credentials":
		if f.Get("client_id") != ClientID || f.Get("client_secret") != ClientSecret {
			no("invalid_client", "invalid client credentials")
			return
		}
	case "urn:ietf:params:oauth:grant-type:jwt-bearer":
		c, ok := fake.Assertion(f.Get("assertion"))
		if c.Left > 5*time.Minute {
			o.Complain("an assertion is valid for %s", c.Left)
		}
		if !ok || c.Left <= 0 || c.Left > 5*time.Minute || c.Iss != ClientID || c.Sub != Username || c.Aud != o.URL {
			no("invalid_grant", "invalid assertion")
			return
		}
	default:
		no("unsupported_grant_type", "grant type not supported")
		return
	}
	o.mu.Lock()
	o.n++
	token := fmt.Sprintf("00D000000000001!session-%d", o.n)
	o.tokens[token] = true
	o.mu.Unlock()
	// Salesforce tells no expires_in.
	fake.Answer(w, http.StatusOK, map[string]string{
		"access_token": token, "instance_url": o.URL, "id": o.URL + "/id/00D/005", "token_type": "Bearer", "issued_at": "1732795200000", "signature": "x",
	})
}

func (o *Org) authorized(do http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		o.mu.Lock()
		ok := o.tokens[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
		o.mu.Unlock()
		if !ok {
			refuse(w, http.StatusUnauthorized, "INVALID_SESSION_ID", "Session expired or invalid")
			return
		}
		do(w, r)
	}
}

func (o *Org) limits(w http.ResponseWriter, _ *http.Request) {
	fake.Answer(w, http.StatusOK, map[string]any{"DailyApiRequests": map[string]int{"Max": 15000, "Remaining": 14998}})
}

var fields = map[string][]string{
	"Task": {
		"Subject", "Status", "TaskSubtype", "CallType", "CallDurationInSeconds", "CallDisposition", "CallObject", "WhoId", "WhatId", "OwnerId",
		"ActivityDate", "Description", "Priority", ExternalID, "Score__c", "Tags__c", Number,
	},
	"Lead":           {"LastName", "FirstName", "Company", "Phone", "Title", "Email", "City", "State", "PostalCode"},
	"Contact":        {"LastName"},
	"ContentVersion": {"Title", "PathOnClient", "FirstPublishLocationId"},
}

func (o *Org) describe(w http.ResponseWriter, r *http.Request) {
	names, ok := fields[r.PathValue("object")]
	if !ok {
		refuse(w, http.StatusNotFound, "NOT_FOUND", "The requested resource does not exist")
		return
	}
	list := []any{}
	for _, n := range names {
		if slices.Contains(o.Hidden, n) {
			continue
		}
		list = append(list, map[string]any{"name": n, "createable": true, "externalId": n == ExternalID, "length": bound(r.PathValue("object"), n)})
	}
	fake.Answer(w, http.StatusOK, map[string]any{"name": r.PathValue("object"), "createable": !o.ReadOnly, "fields": list})
}

// bounds are how many characters a field takes, if not 255.
var bounds = map[string]int{
	"Task.Description": 32_000,
	"Lead.FirstName":   40, "Lead.LastName": 80, "Lead.Phone": 40, "Lead.Title": 128, "Lead.Email": 80, "Lead.City": 40, "Lead.State": 80, "Lead.PostalCode": 20,
}

// bound is how many characters a field takes.
func bound(object, name string) int {
	if most, ok := bounds[object+"."+name]; ok {
		return most
	}
	return 255
}

// body reads the fields of a record and holds them to the object.
func (o *Org) body(w http.ResponseWriter, r *http.Request, object string, isNew bool) (Record, bool) {
	if r.Header.Get("Content-Type") != "application/json" {
		o.Complain("%s %s as %q", r.Method, r.URL.Path, r.Header.Get("Content-Type"))
	}
	var in Record
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		refuse(w, http.StatusBadRequest, "JSON_PARSER_ERROR", err.Error())
		return nil, false
	}
	for name, v := range in {
		known := false
		for _, f := range fields[object] {
			known = known || f == name && !slices.Contains(o.Hidden, name)
		}
		if !known {
			refuse(w, http.StatusBadRequest, "INVALID_FIELD", "No such column '"+name+"' on sobject of type "+object, name)
			return nil, false
		}
		text, isText := v.(string)
		_, isList := v.([]any)
		_, isObject := v.(map[string]any)
		if _, err := strconv.ParseFloat(text, 64); isList || isObject || name == Number && isText && err != nil {
			refuse(w, http.StatusBadRequest, "JSON_PARSER_ERROR", fmt.Sprintf("Cannot deserialize instance of %s from %v", name, v))
			return nil, false
		}
		if s, ok := v.(string); ok && len(utf16.Encode([]rune(s))) > bound(object, name) {
			refuse(w, http.StatusBadRequest, "STRING_TOO_LONG", name+": data value too large", name)
			return nil, false
		}
		if s, _ := v.(string); name == "Email" && !fake.Address(s) {
			refuse(w, http.StatusBadRequest, "INVALID_EMAIL_ADDRESS", "Email: invalid email address: "+s, name)
			return nil, false
		}
		if name == "TaskSubtype" && !isNew {
			refuse(w, http.StatusBadRequest, "INVALID_FIELD_FOR_INSERT_UPDATE", "Unable to create/update fields: TaskSubtype", name)
			return nil, false
		}
	}
	if object == "Lead" && o.States && in["State"] != nil {
		refuse(w, http.StatusBadRequest, "FIELD_INTEGRITY_EXCEPTION", "A country/territory must be specified before specifying a state value for field: State/Province", "State")
		return nil, false
	}
	if isNew && object == "Lead" && (in["LastName"] == nil || in["Company"] == nil) {
		refuse(w, http.StatusBadRequest, "REQUIRED_FIELD_MISSING", "Required fields are missing: [LastName, Company]", "LastName", "Company")
		return nil, false
	}
	return in, true
}

func (o *Org) create(w http.ResponseWriter, r *http.Request) {
	object := r.PathValue("object")
	in, ok := o.body(w, r, object, true)
	if !ok {
		return
	}
	if object == "Lead" && o.Rule && o.duplicate(w, in) || object == "Task" && o.converted(w, in) {
		return
	}
	fake.Answer(w, http.StatusCreated, map[string]any{"id": o.Add(object, in), "success": true, "errors": []any{}})
}

// duplicate refuses a lead that is there, or a contact, in the words and with the
// misspelling of Salesforce.
func (o *Org) duplicate(w http.ResponseWriter, in Record) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	var results []any
	for _, object := range []string{"Lead", "Contact"} {
		for _, have := range o.objects[object] {
			if have["LastName"] == in["LastName"] {
				results = append(results, map[string]any{"entityType": object, "matchRecords": []any{map[string]any{
					"matchConfidence": 100.0, "record": map[string]any{"attributes": map[string]string{"type": object}, "Id": have["Id"]},
				}}, "rule": "Standard_Lead_Match_Rule_v1_0", "size": 1, "success": true})
			}
		}
	}
	if len(results) > 0 {
		fake.Answer(w, http.StatusBadRequest, []any{map[string]any{
			"duplicateResut": map[string]any{"allowSave": true, "duplicateRule": "Standard_Lead_Duplicate_Rule", "duplicateRuleEntityType": "Lead", "matchResults": results},
			"errorCode":      "DUPLICATES_DETECTED", "message": "Use one of these records?",
		}})
	}
	return len(results) > 0
}

// converted refuses a task of a lead that is a contact by now.
func (o *Org) converted(w http.ResponseWriter, in Record) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, have := range o.objects["Lead"] {
		if have["Id"] == in["WhoId"] && have["IsConverted"] == true {
			refuse(w, http.StatusBadRequest, "CANNOT_UPDATE_CONVERTED_LEAD", "cannot reference converted lead", "WhoId")
			return true
		}
	}
	return false
}

func (o *Org) update(w http.ResponseWriter, r *http.Request) {
	object := r.PathValue("object")
	in, ok := o.body(w, r, object, false)
	if !ok {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, have := range o.objects[object] {
		if have["Id"] == r.PathValue("id") {
			for k, v := range in {
				have[k] = v
			}
			w.WriteHeader(http.StatusNoContent)
			return
		}
	}
	refuse(w, http.StatusNotFound, "ENTITY_IS_DELETED", "entity is deleted")
}

func (o *Org) upsert(w http.ResponseWriter, r *http.Request) {
	object, field, value := r.PathValue("object"), r.PathValue("field"), r.PathValue("v")
	if field != ExternalID {
		refuse(w, http.StatusNotFound, "NOT_FOUND", "Provided external ID field does not exist or is not accessible: "+field)
		return
	}
	in, ok := o.body(w, r, object, true)
	if !ok {
		return
	}
	if _, twice := in[field]; twice {
		refuse(w, http.StatusBadRequest, "INVALID_FIELD", "The external id stands in the URL and may not be in the body", field)
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, have := range o.objects[object] {
		if have[field] == value {
			for k, v := range in {
				have[k] = v
			}
			fake.Answer(w, http.StatusOK, map[string]any{"id": have["Id"], "success": true, "errors": []any{}, "created": false})
			return
		}
	}
	in[field] = value
	fake.Answer(w, http.StatusCreated, map[string]any{"id": o.add(object, in), "success": true, "errors": []any{}, "created": true})
}
