package commands

import (
	"encoding/json"
	"strconv"
	"time"

	"trunkline.dev/trunkline/domain/call"
)

func itoa(i int) string { return strconv.Itoa(i) }

func (k *checker) started(p call.Started, f Fact) (call.Started, time.Time) {
	if p.ExternalID == "" {
		p.ExternalID = f.ExternalID
	}
	p.ConnectionID = k.caller.ConnectionID
	k.text("/external_id", p.ExternalID, maxShort)
	if p.Direction != "" || !p.Inferred {
		k.oneOf("/direction", p.Direction, inbound, outbound)
	}
	region := k.region(p.ListID)
	p.From = k.heard("from", p.From, region, true, &p.SourceData)
	p.To = k.heard("to", p.To, region, true, &p.SourceData)
	other := p.To
	if p.Direction == inbound {
		other = p.From
	}
	p.LeadID = ""
	if other != "" {
		p.LeadID = LeadID(k.caller.Org, other)
	}
	k.agent("/agent", p.Agent)
	k.text("/list_id", p.ListID, maxShort)
	k.text("/campaign", p.Campaign, maxShort)
	p.StartedAt = k.moment("/started_at", p.StartedAt, f)
	p.AnsweredAt = k.whenPtr("/answered_at", p.AnsweredAt)
	p.OriginalTo = k.heard("original_to", p.OriginalTo, region, false, &p.SourceData)
	k.text("/from_name", p.FromName, maxShort)
	k.text("/to_name", p.ToName, maxShort)
	k.text("/original_to_name", p.OriginalToName, maxShort)
	p.Custom = k.more("custom", p.Custom, &p.SourceData)
	p.SourceData = k.more("source_data", p.SourceData, nil)
	return p, p.StartedAt
}

// named is what the source of a fact calls the call. A connection calls it what its
// facts are kept by, whatever ids of others stand in them.
func (k *checker) named(n call.Named, f Fact) call.Named {
	c := k.caller.ConnectionID
	if c != "" || n.ExternalID == "" {
		n.ExternalID = f.ExternalID
	}
	if n.ExternalID == "" {
		c = ""
	}
	n.ConnectionID = c
	k.text("/external_id", n.ExternalID, maxShort)
	return n
}

func (k *checker) agent(at string, a *call.Agent) {
	if a == nil {
		return
	}
	if a.ID == "" && a.Name == "" && a.Email == "" {
		k.add(at, "an agent has an id, a name or an email")
	}
	k.text(at+"/id", a.ID, maxShort)
	k.text(at+"/name", a.Name, maxShort)
	k.text(at+"/email", a.Email, maxShort)
}

func (k *checker) recording(at string, r call.Recording) call.Recording {
	k.url(at+"/url", r.URL)
	k.text(at+"/id", r.ID, maxShort)
	k.text(at+"/format", r.Format, maxShort)
	k.within(at+"/duration_sec", r.DurationSec, 0, 1e9)
	r.ExpiresAt = k.whenPtr(at+"/expires_at", r.ExpiresAt)
	return r
}

func (k *checker) transcript(p call.TranscriptReady) call.TranscriptReady {
	if p.Transcript == "" && len(p.Segments) == 0 {
		k.add("/transcript", "transcript or transcript_segments is required")
	}
	k.text("/transcript", p.Transcript, maxTranscript)
	segments := make([]call.Segment, len(p.Segments))
	for i, s := range p.Segments {
		at := "/transcript_segments/" + itoa(i)
		k.oneOf(at+"/speaker", s.Speaker, "agent", "customer", "external")
		k.text(at+"/text", s.Text, maxText)
		k.within(at+"/start_seconds", s.StartSeconds, 0, 1e9)
		k.within(at+"/end_seconds", s.EndSeconds, 0, 1e9)
		s.At = k.whenPtr(at+"/at", s.At)
		segments[i] = s
	}
	if len(segments) > 0 {
		p.Segments = segments
	}
	return p
}

func (k *checker) transfer(at string, t call.Transfer) call.Transfer {
	if t.From == nil && t.To == nil && t.OriginalCallID == "" {
		k.add(at, "a transfer has from, to or original_call_id")
	}
	t.From = k.party(at+"/from", t.From)
	t.To = k.party(at+"/to", t.To)
	k.text(at+"/original_call_id", t.OriginalCallID, maxShort)
	return t
}

func (k *checker) party(at string, p *call.Party) *call.Party {
	if p == nil {
		return nil
	}
	q := *p
	// Calls are handed to extensions and queues too, and another system tells of
	// them here (seed 003): such a number stays as it is told.
	if _, err := k.phones.E164(p.Number, k.region("")); err != nil && !k.strict() {
		k.text(at+"/number", p.Number, maxShort)
	} else {
		q.Number = k.phone(at+"/number", p.Number, k.region(""), false)
	}
	k.text(at+"/agent_email", p.AgentEmail, maxShort)
	k.text(at+"/agent_name", p.AgentName, maxShort)
	return &q
}

func (k *checker) corrected(p call.Corrected) call.Corrected {
	k.text("/status", p.Status, maxShort)
	k.nonNegative("/duration_sec", p.DurationSec)
	if len(p.Tags) > maxKeys {
		k.add("/tags", "more than %d tags", maxKeys)
	}
	for i, t := range p.Tags {
		k.need("/tags/"+itoa(i), t, maxShort)
	}
	p.Metrics = k.metrics("/metrics", p.Metrics, &p.SourceData)
	k.agent("/agent", p.Agent)
	if p.Contact != nil {
		within := checker{phones: k.phones, regions: k.regions, caller: k.caller, now: k.now}
		c := within.contact(*p.Contact, Fact{})
		p.Contact = &c
		_ = k.take(within.err(), "/contact") // it is nil or an *Invalid
	}
	p.Custom = k.more("custom", p.Custom, &p.SourceData)
	p.SourceData = k.more("source_data", p.SourceData, nil)
	return p
}

// metrics checks the numbers of a conversation. One that another system counts on
// another scale than ours is kept in rest, and does not cost the others.
func (k *checker) metrics(at string, given *call.Metrics, rest *map[string]json.RawMessage) *call.Metrics {
	if given == nil {
		return nil
	}
	m := *given
	unread := make(map[string]any)
	for _, n := range []struct {
		name string
		v    **int64
	}{
		{"total_talk_time_millis", &m.TotalTalkTimeMillis},
		{"total_conversation_duration_millis", &m.TotalConversationDurationMillis},
		{"rep_talk_time_millis", &m.RepTalkTimeMillis},
		{"prospect_talk_time_millis", &m.ProspectTalkTimeMillis},
		{"total_silence_time_millis", &m.TotalSilenceTimeMillis},
	} {
		keep(k, n.v, n.name, unread, func(k *checker, v *int64) { k.nonNegative(at+"/"+n.name, v) })
	}
	for _, n := range []struct {
		name      string
		v         **float64
		low, high float64
	}{
		{"rep_overall_sentiment", &m.RepOverallSentiment, -1, 1},
		{"prospect_overall_sentiment", &m.ProspectOverallSentiment, -1, 1},
		{"rep_words_per_minute", &m.RepWordsPerMinute, 0, 1e6},
		{"prospect_words_per_minute", &m.ProspectWordsPerMinute, 0, 1e6},
	} {
		keep(k, n.v, n.name, unread, func(k *checker, v *float64) { k.within(at+"/"+n.name, v, n.low, n.high) })
	}
	if len(unread) > 0 {
		*rest = with(*rest, "unread_metrics", unread)
	}
	if m == (call.Metrics{}) {
		return nil
	}
	return &m
}

// keep checks a number; one of another system that does not pass is moved to unread.
func keep[N int64 | float64](k *checker, n **N, name string, unread map[string]any, check func(*checker, *N)) {
	if k.strict() {
		check(k, *n)
		return
	}
	var apart checker
	check(&apart, *n)
	if apart.err() != nil {
		unread[name] = **n
		*n = nil
	}
}
