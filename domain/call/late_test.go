package call_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/contact"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/foldtest"
)

type said = foldtest.Said[event.Payload]

func sayings(distinctTimes bool) *rapid.Generator[[]said] {
	return foldtest.Sayings(distinctTimes, func(t *rapid.T, i int) event.Payload {
		yes := func(name string) bool { return rapid.Bool().Draw(t, name) }
		switch rapid.IntRange(0, 3).Draw(t, "kind") {
		case 0:
			var f call.Corrected
			if yes("tags") {
				f.Tags = make([]string, rapid.IntRange(0, 1).Draw(t, "how many"))
				for j := range f.Tags {
					f.Tags[j] = fmt.Sprint(i)
				}
			}
			if yes("metrics") {
				millis := int64(i)
				f.Metrics = &call.Metrics{TotalTalkTimeMillis: &millis}
			}
			if yes("contact") {
				f.Contact = &contact.Fields{FirstName: event.Some(fmt.Sprint(i))}
			}
			return f
		case 1:
			var f call.SummaryAdded
			if yes("summary") {
				f.Summary = fmt.Sprint(i)
			}
			if yes("one sentence") {
				f.OneSentence = fmt.Sprint(i)
			}
			return f
		case 2:
			return call.Transferred{Transfer: call.Transfer{OriginalCallID: fmt.Sprint(i)}}
		default:
			return call.TranscriptReady{Transcript: fmt.Sprint(i)}
		}
	})
}

// groups are what a source says again as a whole.
func groups(t interface{ Fatal(args ...any) }, list []said) map[string]string {
	var c call.Call
	foldtest.Folded(t, list, c.Apply)
	g := map[string]string{"summary": c.Summary, "one sentence": c.OneSentence, "transcript": c.Transcript, "tags": fmt.Sprint(c.Tags)}
	if c.TranscriptAt != nil {
		g["transcript at"] = c.TranscriptAt.String()
	}
	if c.Metrics != nil {
		g["metrics"] = fmt.Sprint(*c.Metrics.TotalTalkTimeMillis)
	}
	if c.Transfer != nil {
		g["transfer"] = c.Transfer.OriginalCallID
	}
	if c.Contact != nil {
		g["contact"] = c.Contact.FirstName.Value
	}
	return g
}

// TestTheNewestOfAGroupWins compares the fold with the sentence that defines it: of
// tags, metrics, transcript, either summary, transfer and contact the fact with the newest
// occurred_at counts, and of equal ones the later in the log.
func TestTheNewestOfAGroupWins(t *testing.T) {
	t.Parallel()
	sayings := sayings(false)
	rapid.Check(t, func(t *rapid.T) {
		list := sayings.Draw(t, "facts")
		want, at := map[string]string{"summary": "", "one sentence": "", "transcript": "", "tags": "[]"}, map[string]time.Time{}
		for _, s := range list {
			tell := func(group, word string) {
				if last, known := at[group]; !known || !s.Env.OccurredAt.Before(last) {
					want[group], at[group] = word, s.Env.OccurredAt
				}
			}
			switch f := s.Fact.(type) {
			case call.Corrected:
				if f.Tags != nil {
					tell("tags", fmt.Sprint(f.Tags))
				}
				if f.Metrics != nil {
					tell("metrics", fmt.Sprint(*f.Metrics.TotalTalkTimeMillis))
				}
				if f.Contact != nil {
					tell("contact", f.Contact.FirstName.Value)
				}
			case call.SummaryAdded:
				if f.Summary != "" {
					tell("summary", f.Summary)
				}
				if f.OneSentence != "" {
					tell("one sentence", f.OneSentence)
				}
			case call.Transferred:
				tell("transfer", f.Transfer.OriginalCallID)
			case call.TranscriptReady:
				tell("transcript", f.Transcript)
				tell("transcript at", s.Env.OccurredAt.String())
			}
		}
		if diff := cmp.Diff(want, groups(t, list)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// TestGroupsCommute folds facts of different times in two orders.
func TestGroupsCommute(t *testing.T) {
	t.Parallel()
	sayings := sayings(true)
	rapid.Check(t, func(t *rapid.T) {
		list := sayings.Draw(t, "facts")
		if diff := cmp.Diff(groups(t, list), groups(t, rapid.Permutation(list).Draw(t, "other order"))); diff != "" {
			t.Error(diff)
		}
	})
}
