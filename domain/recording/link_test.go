package recording_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"trunkline.dev/trunkline/domain/recording"
)

var (
	key  = recording.LinkKey([]byte("the org's secret"))
	ends = time.Date(2026, 3, 10, 15, 30, 0, 0, time.UTC)
)

// The signature was made by another implementation (Python's hmac).
func TestALinkIsPure(t *testing.T) {
	t.Parallel()
	l := recording.Sign(key, "rec-1", ends.Add(-300*time.Millisecond))
	want := recording.Link{RecordingID: "rec-1", Ends: ends, Signature: "CCfkOpuTDcOssVrkfMyXjBJtiocglZZ0wk9Eag8sUBg"}
	if diff := cmp.Diff(want, l); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := l.PathAndQuery(); got != "/recordings/rec-1?exp=1773156600&sig="+want.Signature {
		t.Errorf("it stands as %s", got)
	}
}

func TestALinkIsReadBackAndNothingElseIs(t *testing.T) {
	t.Parallel()
	l := recording.Sign(key, "rec-1", ends)
	read, ok := recording.ReadLink("rec-1", "1773156600", l.Signature)
	if !ok || !read.Valid(key) || read != l {
		t.Errorf("read %+v, %v", read, ok)
	}
	for name, parts := range map[string][3]string{
		"no id": {"", "1773156600", l.Signature}, "no end": {"rec-1", "", l.Signature}, "no signature": {"rec-1", "1773156600", ""},
		"a negative end": {"rec-1", "-5", l.Signature}, "another spelling": {"rec-1", "+1773156600", l.Signature}, "zeros": {"rec-1", "01773156600", l.Signature},
		"words": {"rec-1", "never", l.Signature}, "too much": {"rec-1", "17731566001773156600", l.Signature},
	} {
		if _, ok := recording.ReadLink(parts[0], parts[1], parts[2]); ok {
			t.Errorf("%s: was read", name)
		}
	}
}

func TestAForgedLinkIsNotValid(t *testing.T) {
	t.Parallel()
	l := recording.Sign(key, "rec-1", ends)
	for name, forged := range map[string]recording.Link{
		"another recording": {RecordingID: "rec-2", Ends: l.Ends, Signature: l.Signature},
		"a later end":       {RecordingID: l.RecordingID, Ends: l.Ends.Add(time.Second), Signature: l.Signature},
		"a cut signature":   {RecordingID: l.RecordingID, Ends: l.Ends, Signature: l.Signature[:20]},
		"none":              {RecordingID: l.RecordingID, Ends: l.Ends},
	} {
		if forged.Valid(key) {
			t.Errorf("%s is valid", name)
		}
	}
	if l.Valid(recording.LinkKey([]byte("another org's secret"))) {
		t.Error("another org's key signed it")
	}
}

// The text is a webhook's body; what is found are the links in it, no more.
func TestLinksAreFoundInABody(t *testing.T) {
	t.Parallel()
	const base = "https://hub.example"
	a, b := recording.Sign(key, "rec-1", ends), recording.Sign(key, "rec-2", ends.Add(time.Hour))
	body := `{"recording_url":"` + base + a.PathAndQuery() + `","note":"see ` + base + b.PathAndQuery() + `, or ` + base + `/recordings/x and https://other.example` + a.PathAndQuery() +
		` and ` + base + `/recordings/rec-3?exp=1&sig=short and ` + base + `/recordings/` + strings.Repeat("y", 500) + `?exp=1&sig=` + a.Signature + `"}`
	if diff := cmp.Diff([]recording.Link{a, b}, recording.LinksIn([]byte(body), base)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func FuzzLinksIn(f *testing.F) {
	const base = "http://h"
	f.Add([]byte(base + recording.Sign(key, "rec-1", ends).PathAndQuery()))
	f.Add([]byte(base + "/recordings/?exp=&sig="))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, l := range recording.LinksIn(text, base) {
			if !strings.Contains(string(text), l.PathAndQuery()) {
				t.Errorf("%s is not in the text", l.PathAndQuery())
			}
		}
	})
}

func TestTheScheduleEndsBeforeTheLinkAndNeverRests(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		now := ends
		deadline := now.Add(time.Duration(rapid.Int64Range(1, 72*3600).Draw(t, "life")) * time.Second)
		asked := time.Duration(rapid.Int64Range(0, 7200).Draw(t, "retry-after")) * time.Second
		last := now
		for n := 1; ; n++ {
			next, ok := recording.NextFetch("rec-1", n, now, deadline, asked)
			if !ok {
				break
			}
			if !next.After(now) || !next.Before(deadline) {
				t.Fatalf("attempt %d at %s, %s before the end", n+1, next, deadline.Sub(next))
			}
			if wait := next.Sub(now); wait > time.Hour+6*time.Minute {
				t.Fatalf("it rests for %s", wait)
			}
			last, now = next, next
			if n > 200 {
				t.Fatal("it does not end")
			}
		}
		if left := deadline.Sub(last); left > 2*time.Hour+12*time.Minute {
			t.Fatalf("it gives up %s before the end", left)
		}
	})
}

func TestAFullScheduleAsksOftenAtFirstAndLongBeforeTheEnd(t *testing.T) {
	t.Parallel()
	now, deadline := ends, ends.Add(72*time.Hour)
	inMinute, inHour, inAll := 1, 0, 1
	for n := 1; ; n++ {
		next, ok := recording.NextFetch("rec-1", n, now, deadline, 0)
		if !ok {
			break
		}
		now = next
		inAll++
		if next.Sub(ends) <= time.Minute {
			inMinute++
		}
		if next.Sub(ends) <= time.Hour {
			inHour++
		}
	}
	if inMinute != 6 || inHour != 11 || inAll < 75 || inAll > 85 {
		t.Errorf("%d requests in the first minute, %d in the first hour, %d in all", inMinute, inHour, inAll)
	}
}

func TestTheAlertComesBeforeTheEnd(t *testing.T) {
	t.Parallel()
	for life, before := range map[time.Duration]time.Duration{72 * time.Hour: 9 * time.Hour, 8 * time.Hour: time.Hour, 30 * 24 * time.Hour: 9 * time.Hour} {
		if got := ends.Add(life).Sub(recording.NearEnd(ends, ends.Add(life))); got != before {
			t.Errorf("a link of %s: %s before its end, want %s", life, got, before)
		}
	}
}

func TestWhatIsTakenForAudio(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		declared, sniffed, format, from, want string
	}{
		"MP3":                              {"audio/mpeg", "audio/mpeg", "", "/a", "audio/mpeg"},
		"MP3 by another name":              {"audio/mp3; rate=8000", "audio/mpeg", "", "/a", "audio/mpeg"},
		"WAV by another name":              {"audio/x-wav", "audio/wave", "", "/a", "audio/wav"},
		"a video":                          {"video/mp4", "video/mp4", "", "/a", "video/mp4"},
		"bytes that look like MP3":         {"application/octet-stream", "audio/mpeg", "", "/a", "audio/mpeg"},
		"bytes with a format":              {"binary/octet-stream", "application/octet-stream", "MP3", "/a", "audio/mpeg"},
		"bytes with a name":                {"", "application/octet-stream", "", "/x/a.WAV", "audio/wav"},
		"bytes, and nothing is known":      {"application/octet-stream", "application/octet-stream", "", "/a", "application/octet-stream"},
		"text that is said to be MP3":      {"text/plain; charset=utf-8", "text/plain; charset=utf-8", "mp3", "/a", "audio/mpeg"},
		"text":                             {"text/plain", "text/plain; charset=utf-8", "", "/a", ""},
		"text as bytes":                    {"application/octet-stream", "text/plain; charset=utf-8", "", "/a", ""},
		"a page":                           {"text/html", "text/html; charset=utf-8", "mp3", "/a.mp3", ""},
		"a page that says it is MP3":       {"audio/mpeg", "text/html; charset=utf-8", "mp3", "/a.mp3", ""},
		"JSON":                             {"application/json", "text/plain; charset=utf-8", "mp3", "/a.mp3", ""},
		"an error of S3":                   {"application/xml", "text/xml; charset=utf-8", "mp3", "/a.mp3", ""},
		"a picture":                        {"image/png", "image/png", "", "/a", ""},
		"a picture as bytes":               {"application/octet-stream", "image/png", "", "/a", ""},
		"a media type that cannot be read": {"audio/mpeg;;=", "audio/mpeg", "", "/a", "audio/mpeg"},
	} {
		got, ok := recording.ContentType(c.declared, c.sniffed, c.format, c.from)
		if got != c.want || ok != (c.want != "") {
			t.Errorf("%s: %q, %v; want %q", name, got, ok, c.want)
		}
	}
}
