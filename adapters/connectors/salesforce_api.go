package connectors

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
	"golang.org/x/oauth2/jwt"
)

// salesforceRecord is a record as a search finds it.
type salesforceRecord struct {
	Attributes struct {
		Type string `json:"type"`
	} `json:"attributes"`
	ID             string `json:"Id"`
	Name           string `json:"Name"`
	Phone          string `json:"Phone"`
	MobilePhone    string `json:"MobilePhone"`
	HomePhone      string `json:"HomePhone"`
	OtherPhone     string `json:"OtherPhone"`
	AssistantPhone string `json:"AssistantPhone"`
}

func (r salesforceRecord) phones() []string {
	return []string{r.Phone, r.MobilePhone, r.HomePhone, r.OtherPhone, r.AssistantPhone}
}

type salesforceMade struct {
	ID string `json:"id"`
}

// salesforceSure is how long a session is used without asking anew. Salesforce says of
// none when it ends, and an org that moved lives no longer where its session says.
const salesforceSure = time.Hour

// session signs in.
func (k salesforceKind) session(ctx context.Context, a *attempt) (salesforceSession, error) {
	s := salesforceSession{attempt: a}
	var err error
	if s.config, err = config[salesforceConfig](a.endpoint); err != nil {
		return s, err
	}
	if s.config.APIVersion == "" {
		s.config.APIVersion = salesforceVersion
	}
	a.tape.step("sign in")
	src := a.source(func(ctx context.Context) (*oauth2.Token, error) {
		t, err := salesforceToken(ctx, a, s.config)
		if err == nil && t.Expiry.IsZero() {
			t.Expiry = a.set.cfg.Clock().Add(salesforceSure)
		}
		return t, salesforceRefusedToken(err)
	})
	token, err := src.token(ctx, nil)
	if err != nil {
		return s, err
	}
	// Where the org lives is told with its token.
	instance, _ := token.Extra("instance_url").(string)
	if instance == "" {
		return s, failure(0, "Salesforce did not say where the org is (instance_url)")
	}
	a.tape.done("signed in to %s", instance)
	client := a.client()
	client.Transport = signed{source: src, next: a.tape}
	s.api = rest{client: client, root: strings.TrimRight(instance, "/") + "/services/data/" + s.config.APIVersion, refused: salesforceRefused(a)}
	return s, nil
}

// salesforceToken gets an access token by the flow that the credentials are for.
func salesforceToken(ctx context.Context, a *attempt, c salesforceConfig) (*oauth2.Token, error) {
	at, cred := a.endpoint.URL+"/services/oauth2/token", a.endpoint.Credentials
	switch {
	case cred["refresh_token"] != "":
		conf := oauth2.Config{ClientID: cred["client_id"], ClientSecret: cred["client_secret"], Endpoint: oauth2.Endpoint{TokenURL: at, AuthStyle: oauth2.AuthStyleInParams}}
		return conf.TokenSource(ctx, &oauth2.Token{RefreshToken: cred["refresh_token"]}).Token()
	case cred["private_key"] != "":
		// Salesforce takes assertions of a few minutes only.
		conf := jwt.Config{Email: cred["client_id"], Subject: c.Username, PrivateKey: []byte(cred["private_key"]), TokenURL: at, Audience: a.endpoint.URL, Expires: 3 * time.Minute}
		return conf.TokenSource(ctx).Token()
	}
	conf := clientcredentials.Config{ClientID: cred["client_id"], ClientSecret: cred["client_secret"], TokenURL: at, AuthStyle: oauth2.AuthStyleInParams}
	return conf.Token(ctx)
}

var salesforceTokenHints = map[string]string{
	"invalid_grant":                      "The refresh token was revoked or has expired, or the user of the JWT has not approved the app; authorize the connected app again with the scopes api and refresh_token",
	"invalid_client_id":                  "The Consumer Key is not that of a connected app; a new one takes up to ten minutes to be known",
	"invalid_client":                     "The Consumer Secret does not belong to the Consumer Key",
	"unsupported_grant_type":             "The connected app does not allow this flow; enable it in its OAuth settings",
	"invalid_app_access":                 "The user is not approved for the connected app; see its policies",
	"inactive_user":                      "The user that signs in is inactive",
	"inactive_org":                       "The Salesforce org is inactive",
	"rate_limit_exceeded":                "Too many logins in an hour",
	"no client credentials user enabled": "Set a Run As user in the connected app's policies",
}

func salesforceRefusedToken(err error) error {
	re, ok := errors.AsType[*oauth2.RetrieveError](err)
	if !ok {
		return err
	}
	p := refusedToken(err, "Salesforce")
	var said *problem
	if errors.As(p, &said) {
		said.hint = salesforceTokenHints[re.ErrorCode]
		if said.hint == "" {
			said.hint = salesforceTokenHints[re.ErrorDescription]
		}
	}
	return p
}

// salesforceError is a refusal with Salesforce's code.
type salesforceError struct {
	*problem
	code string
	// there are the records that a duplicate rule found in place of a new one.
	there []salesforceRecord
}

func (e *salesforceError) Unwrap() error { return e.problem }

var salesforceHints = map[string]string{
	"REQUEST_LIMIT_EXCEEDED":                        "The org has used up its API requests of the last 24 hours",
	"API_DISABLED_FOR_ORG":                          "The edition of the org has no API",
	"INSUFFICIENT_ACCESS_OR_READONLY":               "The user that signed in may not write this; give it the permission",
	"INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY": "The user that signed in may not see the record that this is for",
	"INVALID_FIELD":                                 "A field does not exist, or the user that signed in may not see it; look at mapping and task_external_id_field",
	"INVALID_FIELD_FOR_INSERT_UPDATE":               "A field cannot be written; look at mapping",
	"FIELD_CUSTOM_VALIDATION_EXCEPTION":             "A validation rule of the org refuses this",
	"REQUIRED_FIELD_MISSING":                        "The org requires a field that the connector does not fill; add it to mapping",
	"STORAGE_LIMIT_EXCEEDED":                        "The org's storage is full",
	"DUPLICATES_DETECTED":                           "A duplicate rule of the org refuses the new record",
	"INVALID_SESSION_ID":                            "The session ended and could not be renewed",
}

// salesforceRefused reads an answer that is not 2xx: a list of errors.
func salesforceRefused(a *attempt) func(int, http.Header, []byte) error {
	return func(status int, h http.Header, body []byte) error {
		var said []struct {
			Message   string   `json:"message"`
			ErrorCode string   `json:"errorCode"`
			Fields    []string `json:"fields"`
			// Duplicates is what a duplicate rule found; the name is misspelled there.
			Duplicates struct {
				MatchResults []struct {
					MatchRecords []struct {
						Record salesforceRecord `json:"record"`
					} `json:"matchRecords"`
				} `json:"matchResults"`
			} `json:"duplicateResut"`
		}
		if json.Unmarshal(body, &said) != nil || len(said) == 0 {
			p := failure(status, "Salesforce answered %d", status)
			p.retryAfter = retryAfter(h, a.set.cfg.Clock())
			return p
		}
		first := said[0]
		p := failure(status, "Salesforce answered %d %s: %s", status, first.ErrorCode, clip(first.Message, 300))
		p.hint, p.retryAfter = salesforceHints[first.ErrorCode], retryAfter(h, a.set.cfg.Clock())
		if len(first.Fields) > 0 {
			p.what += " (" + strings.Join(first.Fields, ", ") + ")"
		}
		if first.ErrorCode == "REQUEST_LIMIT_EXCEEDED" {
			p.status = http.StatusTooManyRequests
		}
		refused := &salesforceError{problem: p, code: first.ErrorCode}
		for _, rule := range first.Duplicates.MatchResults {
			for _, match := range rule.MatchRecords {
				refused.there = append(refused.there, match.Record)
			}
		}
		return refused
	}
}

// query returns a field of the first record of a query, "" if there is none.
func (s salesforceSession) query(ctx context.Context, field, q string) (string, error) {
	var found struct {
		Records []map[string]any `json:"records"`
	}
	if err := s.api.call(ctx, http.MethodGet, "/query/?q="+url.QueryEscape(q), nil, &found); err != nil || len(found.Records) == 0 {
		return "", err
	}
	value, _ := found.Records[0][field].(string)
	return value, nil
}

// soql escapes a text for a literal of SOQL.
func soql(s string) string {
	return strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\n", `\n`, "\r", `\r`).Replace(s)
}

func (k salesforceKind) inspect(ctx context.Context, a *attempt) {
	s, err := k.session(ctx, a)
	if err != nil {
		a.tape.failed(err)
		return
	}
	ok := a.try("API", func() (string, error) {
		var limits map[string]struct{ Max, Remaining int64 }
		if err := s.api.call(ctx, http.MethodGet, "/limits", nil, &limits); err != nil {
			if p := (*problem)(nil); errors.As(err, &p) && p.status == http.StatusNotFound {
				return "", failure(p.status, "the org does not know API version %s", s.config.APIVersion).but("Choose another api_version")
			}
			return "", err
		}
		l := limits["DailyApiRequests"]
		if l.Max > 0 && l.Remaining == 0 {
			return "", failure(0, "all %d API requests of 24 hours are used up", l.Max)
		}
		return fmt.Sprintf("version %s, %d of %d requests of 24 hours left", s.config.APIVersion, l.Remaining, l.Max), nil
	})
	if !ok {
		return
	}
	a.try("search by phone", func() (string, error) {
		n, _ := numbersOf("+14155550100", "")
		_, err := s.search(ctx, n)
		return "contacts and leads can be searched", err
	})
	a.try("tasks", func() (string, error) { return s.checkTasks(ctx) })
	if s.config.CopyRecording == nil || *s.config.CopyRecording {
		a.try("files", func() (string, error) {
			d, err := s.describe(ctx, "ContentVersion")
			if err == nil && !d.Createable {
				err = failure(0, "the user that signed in may not upload files").but("Give it the permission to create files (ContentVersion)")
			}
			return "files can be uploaded", err
		})
	}
	if s.config.Unmatched == unmatchedLead {
		a.try("leads", func() (string, error) {
			d, err := s.describe(ctx, "Lead")
			if err == nil && !d.Createable {
				err = failure(0, "the user that signed in may not create leads")
			}
			return "leads can be made", err
		})
	}
}

type salesforceObject struct {
	Createable bool `json:"createable"`
	Fields     []struct {
		Name       string `json:"name"`
		Createable bool   `json:"createable"`
		ExternalID bool   `json:"externalId"`
		// Length is how many characters a text may have, 0 for other fields.
		Length int `json:"length"`
	} `json:"fields"`
}

func (s salesforceSession) describe(ctx context.Context, object string) (d salesforceObject, err error) {
	err = s.api.call(ctx, http.MethodGet, "/sobjects/"+object+"/describe", nil, &d)
	if p := (*problem)(nil); errors.As(err, &p) && p.status == http.StatusNotFound {
		return d, failure(p.status, "the user that signed in does not see %s", object)
	}
	return d, err
}

// salesforceTask are the fields of a Task that every call fills.
var salesforceTask = []string{"ActivityDate", "CallDisposition", "CallDurationInSeconds", "CallObject", "CallType", "Description", "Status", "Subject", "TaskSubtype", "WhoId"}

// checkTasks looks whether tasks can be made with the fields that are filled and those
// that are mapped.
func (s salesforceSession) checkTasks(ctx context.Context) (string, error) {
	d, err := s.describe(ctx, "Task")
	if err != nil {
		return "", err
	}
	if !d.Createable {
		return "", failure(0, "the user that signed in may not create tasks").but("Give its profile the permission Edit Tasks")
	}
	writable := make(map[string]bool)
	external := make(map[string]bool)
	for _, f := range d.Fields {
		writable[f.Name], external[f.Name] = f.Createable, f.ExternalID
	}
	missing := slices.DeleteFunc(slices.Clone(salesforceTask), func(name string) bool { return writable[name] })
	if len(missing) > 0 {
		return "", failure(0, "Task has no fields %s that the user may write", strings.Join(missing, ", ")).but("Give its profile access to these fields: Setup → Object Manager → Activity → Fields, Set Field-Level Security")
	}
	for name := range s.endpoint.Mapping {
		if !writable[name] {
			return "", failure(0, "Task has no field %s that the user may write", name).but("Look at mapping: it takes API names, of custom fields with __c, and the user needs access to them")
		}
	}
	if f := s.config.TaskExternalIDField; f != "" && !external[f] {
		return "", failure(0, "%s is no external id field of Task", f).but("Make a text field of Task (or Activity) with External ID and Unique set, and give the user access to it")
	}
	return "tasks can be made", nil
}
