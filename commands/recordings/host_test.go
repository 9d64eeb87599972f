package recordings

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestAHostFitsIntoAnIndex(t *testing.T) {
	t.Parallel()
	longest := strings.Repeat("a", 253) + ":65535"
	for raw, want := range map[string]string{
		"https://Dialer.Example:8443/1.mp3": "dialer.example:8443",
		"https://" + longest + "/1.mp3":     longest,
		"https://a%ff.example/1.mp3":        "a\uFFFD.example",
		"https://a%00.example/1.mp3":        "",
		"no URL\x00":                        "",
	} {
		if got := Host(raw); got != want {
			t.Errorf("%q has the host %q, want %q", raw, got, want)
		}
	}
	seen := make(map[string]bool)
	for _, host := range []string{longest + "1", longest + "2", strings.Repeat("é", 4000), strings.Repeat("é", 4001)} {
		got := Host("https://" + host + "/1.mp3")
		if len(got) > maxHost || !utf8.ValidString(got) || !strings.HasPrefix(got, host[:100]) || seen[got] {
			t.Errorf("%.40q…, %d bytes, has the host %q", host, len(host), got)
		}
		if Host("https://"+strings.ToUpper(host)+"/2.mp3") != got {
			t.Errorf("%.40q… has another host in capitals", host)
		}
		seen[got] = true
	}
}
