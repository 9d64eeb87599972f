package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"trunkline.dev/trunkline/adapters/dialects"
)

type dialectVerify struct {
	Dialect string    `required:"" help:"The dialect: ${dialects}."`
	Headers string    `required:"" help:"A file with the request's headers: lines of \"Name: value\", or a JSON object; - for standard input."`
	Body    string    `required:"" help:"A file with the request's body, to the byte; - for standard input."`
	Secret  string    `required:"" env:"TRUNKLINE_WEBHOOK_SECRET" help:"The secret of the webhook."`
	At      time.Time `help:"When it was received, for one that was kept (RFC 3339). Default: now."`
	JSON    bool      `name:"json" help:"Print JSON."`
}

// Help lists the exit codes.
func (dialectVerify) Help() string {
	var b strings.Builder
	b.WriteString("The dialect's own signature decides where it has one, else that of Standard Webhooks; both are told.\n\nExit codes: 0 it verifies; 2 called wrongly")
	for _, m := range dialects.Mistakes() {
		fmt.Fprintf(&b, "; %d %s", m.ExitCode, m.Mistake)
	}
	return b.String() + "."
}

// mistakeCode is the exit code of a mistake.
func mistakeCode(m dialects.Mistake) int {
	for _, known := range dialects.Mistakes() {
		if known.Mistake == m {
			return known.ExitCode
		}
	}
	return 1
}

// Run tells the verdict on each signature.
func (c dialectVerify) Run(ctx context.Context, s streams) error {
	d, err := dialectOf(c.Dialect)
	if err != nil {
		return err
	}
	if c.Headers == "-" && c.Body == "-" {
		return fmt.Errorf("%w: --headers and --body cannot both be standard input", errUsage)
	}
	raw, err := readFile(ctx, c.Headers)
	if err != nil {
		return misused{err}
	}
	headers, err := parseHeaders(raw)
	if err != nil {
		return misused{fmt.Errorf("reading %s: %w", c.Headers, err)}
	}
	body, err := readFile(ctx, c.Body)
	if err != nil {
		return misused{err}
	}
	at := c.At
	if at.IsZero() {
		at = time.Now()
	}
	findings := dialects.Diagnose(d, c.Secret, headers, body, at)
	if c.JSON {
		err = printJSON(s.out, findings)
	} else {
		err = printFindings(s.out, findings)
	}
	if err != nil || findings[0].OK() {
		return err
	}
	return coded{code: mistakeCode(findings[0].Mistakes[0]), error: fmt.Errorf("%s does not verify: %s", findings[0].Header, findings[0].Mistakes[0])}
}

func printFindings(w io.Writer, findings []dialects.Finding) error {
	var b strings.Builder
	for _, f := range findings {
		verdict := "verifies"
		if !f.OK() {
			verdict = "does not verify"
		}
		fmt.Fprintf(&b, "%s %s\n", f.Header, verdict)
		for i, says := range f.Says {
			name := ""
			if i < len(f.Mistakes) {
				name = string(f.Mistakes[i]) + ": "
			}
			fmt.Fprintf(&b, "  %s%s\n", name, says)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func readFile(ctx context.Context, path string) ([]byte, error) {
	if path == "-" {
		return readInput(ctx)
	}
	return os.ReadFile(path)
}

// readInput reads standard input, until an interrupt at most. What reads goes on
// then, and ends with the program.
func readInput(ctx context.Context) ([]byte, error) {
	type input struct {
		bytes []byte
		err   error
	}
	read := make(chan input, 1)
	in := os.Stdin
	go func() {
		b, err := io.ReadAll(in)
		read <- input{b, err}
	}()
	select {
	case got := <-read:
		return got.bytes, got.err
	case <-ctx.Done():
		return nil, fmt.Errorf("reading standard input: %w", ctx.Err())
	}
}

// parseHeaders reads headers as curl, a log or a framework prints them: lines,
// perhaps behind a request line, or a JSON object of strings or lists.
func parseHeaders(raw []byte) (http.Header, error) {
	h := make(http.Header)
	if t := bytes.TrimSpace(raw); len(t) > 0 && t[0] == '{' {
		var fields map[string]any
		if err := json.Unmarshal(t, &fields); err != nil {
			return nil, err
		}
		for name, value := range fields {
			switch v := value.(type) {
			case string:
				h.Add(name, v)
			case []any:
				for _, one := range v {
					h.Add(name, fmt.Sprint(one))
				}
			default:
				return nil, fmt.Errorf("%s: expected a text or a list of texts", name)
			}
		}
		return h, nil
	}
	lines := bufio.NewScanner(bytes.NewReader(raw))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(strings.TrimLeft(lines.Text(), "<> ")) // curl -v marks directions
		if line == "" || n == 1 && strings.Contains(line, "HTTP/") {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return nil, fmt.Errorf("line %d: expected Name: value", n)
		}
		h.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	if len(h) == 0 {
		return nil, errors.New("there are no headers")
	}
	return h, lines.Err()
}
