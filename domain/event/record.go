package event

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"
)

// SchemaBase is what the $id of every event's JSON Schema begins with.
const SchemaBase = "https://trunkline.dev/schemas/events"

// SchemaID is the $id of the JSON Schema of a type's data, which travels as
// ce_dataschema: "https://trunkline.dev/schemas/events/call.ended.v1.json".
func SchemaID(t Type) string { return SchemaBase + "/" + string(t) + ".json" }

// ContentType is the content-type header of every record.
const ContentType = "application/json"

// Header names of a record: the CloudEvents Kafka protocol binding in binary
// mode. They are a public contract, like the names of the topics. traceparent
// has no prefix, because that is where OpenTelemetry's propagators look.
const (
	HeaderSpecVersion   = "ce_specversion"
	HeaderID            = "ce_id"
	HeaderType          = "ce_type"
	HeaderSource        = "ce_source"
	HeaderSubject       = "ce_subject"
	HeaderTime          = "ce_time"
	HeaderDataSchema    = "ce_dataschema"
	HeaderContentType   = "content-type"
	HeaderOrg           = "ce_org"
	HeaderActor         = "ce_actor"
	HeaderCorrelationID = "ce_correlationid"
	HeaderCausationID   = "ce_causationid"
	HeaderRecordedTime  = "ce_recordedtime"
	HeaderOrigin        = "ce_origin"
	HeaderTraceParent   = "traceparent"
)

// TimeLayout is how times are written in headers: RFC 3339, always with
// microseconds, always UTC.
const TimeLayout = "2006-01-02T15:04:05.000000Z07:00"

// Header is one header of a record.
type Header struct{ Name, Value string }

// ErrMalformed says that a record, or an envelope that is to become one, breaks
// the rules of the log.
var ErrMalformed = errors.New("malformed record")

// Headers are the headers of an event's record, in a fixed order. Empty
// optional ones are left out.
func Headers(e Envelope) []Header { return AppendHeaders(nil, e) }

// MaxHeaders is how many Headers there are at most.
const MaxHeaders = 15

// AppendHeaders appends the Headers to h.
func AppendHeaders(h []Header, e Envelope) []Header {
	h = append(h,
		Header{HeaderSpecVersion, "1.0"},
		Header{HeaderID, e.ID},
		Header{HeaderType, string(e.Type)},
		Header{HeaderSource, e.Source},
		Header{HeaderSubject, e.Subject},
		Header{HeaderTime, Time(e.OccurredAt).Format(TimeLayout)},
		Header{HeaderDataSchema, SchemaID(e.Type)},
		Header{HeaderContentType, ContentType},
		Header{HeaderOrg, e.Org},
		Header{HeaderRecordedTime, Time(e.RecordedAt).Format(TimeLayout)},
	)
	for _, o := range []Header{
		{HeaderActor, e.Actor},
		{HeaderCorrelationID, e.CorrelationID},
		{HeaderCausationID, e.CausationID},
		{HeaderOrigin, string(e.Origin)},
		{HeaderTraceParent, e.TraceParent},
	} {
		if o.Value != "" {
			h = append(h, o)
		}
	}
	return h
}

// FromRecord reads an event from a record; header returns "" for a header that
// is not there. It never fails, because a consumer must be able to go past what
// it cannot read: a record that is no event of ours gets a Fault, ErrMalformed,
// that says everything that is wrong, with what could be read.
func FromRecord(at Position, key, value []byte, header func(name string) string) Recorded {
	r := Recorded{Position: at, Memo: new(Memo), Event: Event{Data: value, Envelope: Envelope{
		ID:            header(HeaderID),
		Type:          Type(header(HeaderType)),
		Source:        header(HeaderSource),
		Subject:       header(HeaderSubject),
		Org:           header(HeaderOrg),
		Actor:         header(HeaderActor),
		CorrelationID: header(HeaderCorrelationID),
		CausationID:   header(HeaderCausationID),
		Origin:        Origin(header(HeaderOrigin)),
		TraceParent:   header(HeaderTraceParent),
	}}}
	var errs []error
	if v := header(HeaderSpecVersion); v != "1.0" {
		errs = append(errs, fmt.Errorf("%s is %q, not 1.0", HeaderSpecVersion, v))
	}
	if v := header(HeaderContentType); v != ContentType && !strings.HasPrefix(v, ContentType+";") {
		errs = append(errs, fmt.Errorf("%s is %q, not %s", HeaderContentType, v, ContentType))
	}
	for _, t := range []struct {
		header string
		to     *time.Time
	}{{HeaderTime, &r.OccurredAt}, {HeaderRecordedTime, &r.RecordedAt}} {
		parsed, err := time.Parse(time.RFC3339Nano, header(t.header))
		if err != nil || !storable(parsed) {
			errs = append(errs, fmt.Errorf("%s is %q, not RFC 3339", t.header, header(t.header)))
			continue
		}
		*t.to = Time(parsed)
	}
	if err := r.Envelope.check(); err != nil {
		errs = append(errs, err)
	}
	if !On(at.Topic, r.Type) {
		errs = append(errs, fmt.Errorf("%s is %q, which does not belong here", HeaderType, r.Type))
	}
	if want := Key(r.Org, r.Subject); string(key) != want {
		errs = append(errs, fmt.Errorf("key is %q, not %q", key, want))
	}
	if !Valid(value) {
		errs = append(errs, errors.New("value is not JSON"))
	}
	if len(errs) > 0 {
		r.Fault = fmt.Errorf("decoding %s: %w: %w", at, ErrMalformed, errors.Join(errs...))
	}
	return r
}

// storable reports whether a time has a year that RFC 3339 and SQL can write.
func storable(t time.Time) bool {
	y := t.UTC().Year()
	return !t.IsZero() && y >= 1 && y <= 9999
}

// Validate says what keeps an event from being appended. The error is
// ErrMalformed: whoever made the event has a mistake in its code.
func (e Event) Validate() error {
	var errs []error
	if err := e.Envelope.check(); err != nil {
		errs = append(errs, err)
	}
	for _, at := range []time.Time{e.OccurredAt, e.RecordedAt} {
		if !storable(at) {
			errs = append(errs, errors.New("occurred_at and recorded_at need years 1 to 9999"))
			break
		}
	}
	if !Valid(e.Data) {
		errs = append(errs, errors.New("data is not JSON"))
	}
	if len(errs) > 0 {
		return fmt.Errorf("%w: %w", ErrMalformed, errors.Join(errs...))
	}
	return nil
}

// check finds what CloudEvents forbids: required attributes that are missing,
// control characters, a source that is no URI-reference.
func (e Envelope) check() error {
	var errs []error
	for _, h := range []struct {
		name, value string
		required    bool
	}{
		{HeaderID, e.ID, true},
		{HeaderType, string(e.Type), true},
		{HeaderSource, e.Source, true},
		{HeaderSubject, e.Subject, true},
		{HeaderOrg, e.Org, true},
		{HeaderActor, e.Actor, false},
		{HeaderCorrelationID, e.CorrelationID, false},
		{HeaderCausationID, e.CausationID, false},
		{HeaderOrigin, string(e.Origin), false},
		{HeaderTraceParent, e.TraceParent, false},
	} {
		switch {
		case h.required && strings.TrimSpace(h.value) == "":
			errs = append(errs, fmt.Errorf("%s is missing", h.name))
		case !printable(h.value):
			errs = append(errs, fmt.Errorf("%s is not printable UTF-8", h.name))
		}
	}
	if _, err := url.Parse(e.Source); err != nil {
		errs = append(errs, fmt.Errorf("%s is no URI-reference", HeaderSource))
	}
	if strings.Contains(e.Org, "/") {
		errs = append(errs, fmt.Errorf("%s contains a slash, which ends the org in keys", HeaderOrg))
	}
	return errors.Join(errs...)
}

// printable reports whether CloudEvents allows a string: valid Unicode without
// control characters and noncharacters.
func printable(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if r < 0x20 || (r >= 0x7f && r <= 0x9f) || (r >= 0xfdd0 && r <= 0xfdef) || r&0xfffe == 0xfffe {
			return false
		}
	}
	return true
}
