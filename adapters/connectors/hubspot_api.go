package connectors

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

// hubspotSession is an attempt with a client.
type hubspotSession struct {
	*attempt
	config hubspotConfig
	api    rest
}

func (k hubspotKind) session(a *attempt) (hubspotSession, error) {
	s := hubspotSession{attempt: a}
	var err error
	if s.config, err = config[hubspotConfig](a.endpoint); err != nil {
		return s, err
	}
	if s.config.Version == "" {
		s.config.Version = "v3"
	}
	if s.config.Folder == "" {
		s.config.Folder = hubspotFolder
	}
	client := a.client()
	token := &oauth2.Token{AccessToken: a.endpoint.Credentials["access_token"]}
	client.Transport = bearer{token: token, next: a.tape}
	s.api = rest{client: client, root: a.endpoint.URL, refused: hubspotRefused(a)}
	return s, nil
}

// bearer signs requests with a token that does not change.
type bearer struct {
	token *oauth2.Token
	next  http.RoundTripper
}

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	return b.next.RoundTrip(withToken(r, b.token))
}

// crm and files are the paths of the API in the version that is set: "v3" comes
// before what it is about, a date behind.
func (s hubspotSession) crm(rest string) string {
	if s.config.Version == "v3" {
		return "/crm/v3/objects" + rest
	}
	return "/crm/objects/" + s.config.Version + rest
}

func (s hubspotSession) files(rest string) string {
	if s.config.Version == "v3" {
		return "/files/v3/files" + rest
	}
	return "/files/" + s.config.Version + "/files" + rest
}

type hubspotObject struct {
	ID         string            `json:"id"`
	Properties map[string]string `json:"properties"`
}

type filter struct {
	PropertyName string   `json:"propertyName"`
	Operator     string   `json:"operator"`
	Value        string   `json:"value,omitempty"`
	Values       []string `json:"values,omitempty"`
}

// search returns what any of the filters finds, the one that was changed last
// first.
func (s hubspotSession) search(ctx context.Context, object string, properties []string, either ...filter) ([]hubspotObject, error) {
	groups := make([]map[string]any, len(either))
	for i, f := range either {
		groups[i] = map[string]any{"filters": []filter{f}}
	}
	sort := "hs_lastmodifieddate"
	if object == "contacts" {
		sort = "lastmodifieddate"
	}
	var found struct {
		Results []hubspotObject `json:"results"`
	}
	err := s.api.call(ctx, http.MethodPost, s.crm("/"+object+"/search"), map[string]any{
		"filterGroups": groups, "properties": properties, "limit": 20,
		"sorts": []map[string]string{{"propertyName": sort, "direction": "DESCENDING"}},
	}, &found)
	return found.Results, err
}

// hubspotError is a refusal with HubSpot's category.
type hubspotError struct {
	*problem
	category string
}

func (e *hubspotError) Unwrap() error { return e.problem }

func isHubSpot(err error, status int) bool {
	var he *hubspotError
	return errors.As(err, &he) && he.status == status
}

// hubspotLag is how long search may not find what was made.
const hubspotLag = time.Minute

// making makes what search found nowhere, and remembers it under a key. Of an attempt
// that did not hear the answer it is not known whether it made it: who comes next waits
// until search would find it.
func making[T any](ctx context.Context, s hubspotSession, key string, do func() (T, error)) (made T, err error) {
	begun := key + "/begun"
	at, known, err := remembered[time.Time](ctx, s.attempt, begun)
	if err != nil {
		return made, err
	}
	now := s.set.cfg.Clock()
	if found := at.Add(hubspotLag); known && now.Before(found) {
		p := failure(0, "an earlier attempt did not hear whether HubSpot made it; that shows in search after a minute")
		p.retryAfter = found
		return made, p
	}
	if err := s.remember(ctx, begun, now); err != nil {
		return made, err
	}
	made, err = do()
	var said *hubspotError
	switch {
	case err == nil:
		err = s.remember(ctx, key, made)
	case errors.As(err, &said) && said.status < http.StatusInternalServerError && said.status != http.StatusRequestTimeout:
		// It said no.
	default:
		return made, err
	}
	return made, errors.Join(err, s.remember(ctx, begun, time.Time{}))
}

var hubspotHints = map[string]string{
	"INVALID_AUTHENTICATION": "The access token is wrong or was rotated; copy it from Settings → Integrations → Private Apps",
	"EXPIRED_AUTHENTICATION": "The access token has expired",
	"MISSING_SCOPES":         "Give the private app the scopes crm.objects.contacts.read, crm.objects.contacts.write and files",
	"RATE_LIMITS":            "The account's limit of requests is reached",
}

func hubspotRefused(a *attempt) func(int, http.Header, []byte) error {
	return func(status int, h http.Header, body []byte) error {
		said := readJSON[struct{ Message, Category string }](body)
		p := failure(status, "HubSpot answered %d %s", status, clip(said.Message, 300))
		p.hint, p.retryAfter = hubspotHints[said.Category], retryAfter(h, a.set.cfg.Clock())
		return &hubspotError{problem: p, category: said.Category}
	}
}

func (k hubspotKind) inspect(ctx context.Context, a *attempt) {
	s, err := k.session(a)
	if err != nil {
		a.tape.failed(err)
		return
	}
	var token struct {
		HubID  int64    `json:"hubId"`
		Scopes []string `json:"scopes"`
	}
	ok := a.try("token", func() (string, error) {
		// The token stands in the body too.
		err := s.api.call(context.WithValue(ctx, concealing{}, true), http.MethodPost, "/oauth/v2/private-apps/get/access-token-info",
			map[string]string{"tokenKey": a.endpoint.Credentials["access_token"]}, &token)
		return fmt.Sprintf("a private app of account %d", token.HubID), err
	})
	if !ok {
		return
	}
	a.try("scopes", func() (string, error) {
		want := []string{"crm.objects.contacts.read", "crm.objects.contacts.write"}
		if s.config.CopyRecording == nil || *s.config.CopyRecording {
			want = append(want, "files")
		}
		if s.config.OwnerByEmail {
			want = append(want, "crm.objects.owners.read")
		}
		missing := slices.DeleteFunc(slices.Clone(want), func(w string) bool { return slices.Contains(token.Scopes, w) })
		if len(missing) > 0 {
			return "", failure(0, "the private app lacks %s", strings.Join(missing, ", ")).but("Add them in Settings → Integrations → Private Apps, tab Scopes")
		}
		return strings.Join(want, ", "), nil
	})
	a.try("search by phone", func() (string, error) {
		_, err := s.search(ctx, "contacts", []string{"phone"}, filter{PropertyName: "phone", Operator: "EQ", Value: "+14155550100"})
		return "contacts can be searched", err
	})
	a.try("properties", func() (string, error) { return s.checkProperties(ctx) })
}

// checkProperties looks whether calls have the properties that are to be filled.
func (s hubspotSession) checkProperties(ctx context.Context) (string, error) {
	want := slices.Sorted(maps.Keys(s.endpoint.Mapping))
	unique := s.config.UniqueProperty
	if unique != "" {
		want = append(want, unique)
	}
	if len(want) == 0 {
		return "HubSpot's own", nil
	}
	var all struct {
		Results []struct {
			Name           string `json:"name"`
			HasUniqueValue bool   `json:"hasUniqueValue"`
		} `json:"results"`
	}
	if err := s.api.call(ctx, http.MethodGet, "/crm/v3/properties/calls", nil, &all); err != nil {
		return "", err
	}
	have := make(map[string]bool)
	for _, p := range all.Results {
		have[p.Name] = true
		if p.Name == unique && !p.HasUniqueValue {
			return "", failure(0, "the values of %s need not be unique", unique).but("Make a property of calls that requires unique values; it cannot be changed later")
		}
	}
	for _, name := range want {
		if !have[name] {
			return "", failure(0, "calls have no property %s", name).but("mapping takes internal names; see Settings → Properties → Call properties")
		}
	}
	return strings.Join(want, ", "), nil
}
