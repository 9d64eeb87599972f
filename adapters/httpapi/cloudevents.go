package httpapi

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/event"
)

// The media types of the CloudEvents HTTP binding.
const (
	typeStructured = "application/cloudevents+json"
	typeBatch      = "application/cloudevents-batch+json"
)

// cloudEvents reads a request in the mode that it is in. Plain application/json
// is binary with ce- headers, else structured or a batch by its first byte.
func cloudEvents(h http.Header, body []byte) ([]commands.CloudEvent, error) {
	media := h.Get("Content-Type")
	if media != "" {
		var err error
		if media, _, err = mime.ParseMediaType(media); err != nil {
			return nil, problem(http.StatusUnsupportedMediaType, "media-type", "the Content-Type cannot be read")
		}
	}
	isArray := bytes.HasPrefix(bytes.TrimSpace(body), []byte("["))
	switch {
	case media == typeBatch:
		return batch(body)
	case media == typeStructured:
		e, err := single(body)
		return []commands.CloudEvent{e}, err
	case media != "" && media != "application/json" && !strings.HasSuffix(media, "+json"):
		return nil, problem(http.StatusUnsupportedMediaType, "media-type", "expected %s, %s, or application/json", typeStructured, typeBatch)
	case h.Get("ce-specversion") != "" || h.Get("ce-type") != "":
		e, err := binary(h, body)
		return []commands.CloudEvent{e}, err
	case isArray:
		return batch(body)
	}
	e, err := single(body)
	return []commands.CloudEvent{e}, err
}

func batch(body []byte) ([]commands.CloudEvent, error) {
	var items []json.RawMessage
	if event.Valid(body) && bytes.HasPrefix(bytes.TrimLeft(body, jsonSpace), []byte("[")) {
		items = commands.Elements(body)
	} else if err := commands.Decode(body, &items); err != nil {
		return nil, err
	}
	if len(items) > commands.MaxEvents {
		return nil, fmt.Errorf("%w: at most %d events, this one has %d", commands.ErrTooMany, commands.MaxEvents, len(items))
	}
	events := make([]commands.CloudEvent, len(items))
	var bad commands.Invalid
	room := make([]commands.Member, 0, usualMembers)
	for i, item := range items {
		e, err := structured(item, "/"+strconv.Itoa(i), room)
		if inv, ok := errors.AsType[*commands.Invalid](err); ok {
			bad.Errors = append(bad.Errors, inv.Errors...)
			continue
		}
		if err != nil {
			return nil, err
		}
		events[i] = e
	}
	if len(bad.Errors) > 0 {
		bad.Errors = bad.Errors[:min(len(bad.Errors), 100)]
		return nil, &bad
	}
	return events, nil
}

const jsonSpace = " \n\r\t"

func single(body []byte) (commands.CloudEvent, error) {
	if !event.Valid(body) {
		return commands.CloudEvent{}, commands.Decode(body, new(map[string]json.RawMessage))
	}
	return structured(bytes.Trim(body, jsonSpace), "", make([]commands.Member, 0, usualMembers))
}

// usualMembers is about how many members an event has.
const usualMembers = 16

// structured reads the JSON format of valid JSON. Extension attributes are
// allowed by the specification and ignored; anything else unknown is refused.
// Members are read into room, of which nothing is kept.
func structured(body []byte, at string, room []commands.Member) (commands.CloudEvent, error) {
	var attrs []commands.Member
	if body[0] == '{' {
		attrs = commands.AppendMembers(room[:0], body)
	} else if err := commands.Decode(body, new(map[string]json.RawMessage)); err != nil {
		return commands.CloudEvent{}, under(at, err)
	}
	var bad commands.Invalid
	wrong := func(name, format string, args ...any) {
		bad.Errors = append(bad.Errors, commands.FieldError{Pointer: at + "/" + name, Detail: fmt.Sprintf(format, args...)})
	}
	find := func(name string) json.RawMessage {
		for _, m := range slices.Backward(attrs) { // of two, the last counts
			if string(m.Name) == name {
				return m.Raw
			}
		}
		return nil
	}
	get := func(name string) string {
		raw := find(name)
		if raw == nil || bytes.Equal(raw, []byte("null")) {
			return ""
		}
		s, err := commands.Text(raw)
		if err != nil {
			wrong(name, "expected a string")
		}
		return s
	}
	e := commands.CloudEvent{Pointer: at, DataPointer: at + "/data"}
	version := get("specversion")
	if version != "1.0" {
		wrong("specversion", "expected \"1.0\"")
	}
	e.ID, e.Source, e.Type, e.Subject = get("id"), get("source"), event.Type(get("type")), get("subject")
	checkMedia(get("datacontenttype"), wrong)
	e.Time = moment(get("time"), wrong)
	e.Data = find("data")
	if b64 := get("data_base64"); b64 != "" {
		e.DataPointer = at + "/data_base64"
		raw, err := base64.StdEncoding.DecodeString(b64)
		if err != nil || !event.Valid(raw) {
			wrong("data_base64", "expected base64 of JSON")
		}
		e.Data = raw
	}
	for _, m := range attrs {
		if !attribute(m.Name) {
			wrong(string(m.Name), "unknown field: an attribute's name has a-z and 0-9 only")
		}
	}
	if len(bad.Errors) > 0 {
		slices.SortFunc(bad.Errors, func(a, b commands.FieldError) int { return strings.Compare(a.Pointer, b.Pointer) })
		bad.Errors = slices.Compact(bad.Errors) // a name may stand there twice
		return commands.CloudEvent{}, &bad
	}
	return e, nil
}

// binary reads attributes from ce- headers and data from the body.
func binary(h http.Header, body []byte) (commands.CloudEvent, error) {
	var bad commands.Invalid
	wrong := func(name, format string, args ...any) {
		// A header has no JSON Pointer; its name says it as well.
		bad.Errors = append(bad.Errors, commands.FieldError{Pointer: "ce-" + name, Detail: fmt.Sprintf(format, args...)})
	}
	get := func(name string) string {
		v := h.Get("ce-" + name)
		// The HTTP binding percent-encodes what a header cannot carry.
		s, err := url.PathUnescape(v)
		if err != nil {
			return v
		}
		return s
	}
	if get("specversion") != "1.0" {
		wrong("specversion", "expected 1.0")
	}
	e := commands.CloudEvent{ID: get("id"), Source: get("source"), Type: event.Type(get("type")), Subject: get("subject"), Data: body}
	e.Time = moment(get("time"), wrong)
	if len(bad.Errors) > 0 {
		return commands.CloudEvent{}, &bad
	}
	return e, nil
}

func checkMedia(media string, wrong func(string, string, ...any)) {
	if media == "" {
		return
	}
	m, _, err := mime.ParseMediaType(media)
	if err != nil || (m != "application/json" && !strings.HasSuffix(m, "+json")) {
		wrong("datacontenttype", "expected application/json")
	}
}

func moment(s string, wrong func(string, string, ...any)) time.Time {
	if s == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		wrong("time", "expected an RFC 3339 time such as 2026-05-14T16:30:00Z")
	}
	return t
}

// attribute reports whether a name may be one of a CloudEvents attribute.
func attribute(name []byte) bool {
	if string(name) == "data_base64" {
		return true
	}
	for _, c := range name {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return len(name) > 0
}

// under puts the pointers of an *Invalid under a place.
func under(at string, err error) error {
	inv, ok := errors.AsType[*commands.Invalid](err)
	if !ok || at == "" {
		return err
	}
	moved := commands.Invalid{Errors: make([]commands.FieldError, len(inv.Errors))}
	for i, e := range inv.Errors {
		moved.Errors[i] = commands.FieldError{Pointer: at + e.Pointer, Detail: e.Detail}
	}
	return &moved
}
