package main

import (
	"fmt"
	"html"
	"math"
	"os"
	"strings"
	"time"
)

// line is a distribution in the plot.
type line struct {
	name string
	of   spread
}

func (b *bench) plot(name string, s spread) {
	if len(s.sorted) > 0 {
		b.lines = append(b.lines, line{name, s})
	}
}

// The plot's measures, in pixels.
const (
	plotWidth, plotHeight    = 760, 430
	plotLeft, plotRight      = 64, 250
	plotTop, plotBottom      = 40, 48
	plotFastest, plotSlowest = 0.2, 500 // milliseconds
	plotLowest, plotHighest  = 0.5, 0.999
)

// writePlot draws latency by percentile: how slow the slowest are is what tells
// lanes that are apart from lanes that are not. Both axes are logarithmic, that
// of percentiles in what is left to 100 %.
func writePlot(path string, lines []line) error {
	var s strings.Builder
	fmt.Fprintf(&s, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", plotWidth, plotHeight)
	s.WriteString(`<rect width="100%" height="100%" fill="#fff"/>` + "\n")
	s.WriteString(`<text x="64" y="22" font-size="14" fill="#111">Request to webhook received, milliseconds by percentile</text>` + "\n")
	for _, v := range []float64{0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500} {
		y := plotY(v)
		fmt.Fprintf(&s, `<path d="M%d %.1fH%d" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end" fill="#444">%g</text>`+"\n", plotLeft, y, plotWidth-plotRight, plotLeft-6, y+4, v)
	}
	for _, p := range []float64{0.5, 0.9, 0.99, 0.999} {
		x := plotX(p)
		fmt.Fprintf(&s, `<path d="M%.1f %dV%d" stroke="#ddd"/><text x="%.1f" y="%d" text-anchor="middle" fill="#444">p%g</text>`+"\n", x, plotTop, plotHeight-plotBottom, x, plotHeight-plotBottom+18, p*100)
	}
	colours := []string{"#1b6ac9", "#c4451c", "#2a8a4a", "#8b4fc1", "#b8860b", "#0f8b8d", "#a03a6b", "#555"}
	for i, l := range lines {
		colour := colours[i%len(colours)]
		fmt.Fprintf(&s, `<path d="%s" fill="none" stroke="%s" stroke-width="1.8"/>`+"\n", pathOf(l.of.sorted), colour)
		y := plotTop + 12 + 20*i
		x := plotWidth - plotRight + 16
		fmt.Fprintf(&s, `<path d="M%d %dh18" stroke="%s" stroke-width="3"/><text x="%d" y="%d" fill="#111">%s</text>`+"\n", x, y-4, colour, x+24, y, html.EscapeString(l.name))
	}
	s.WriteString("</svg>\n")
	if err := os.WriteFile(path, []byte(s.String()), 0o644); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

// pathOf draws sorted times as percentiles, a point for each tenth of a step.
func pathOf(sorted []time.Duration) string {
	var d strings.Builder
	command := "M"
	for left := 1 - plotLowest; left >= 1-plotHighest; left /= 1.15 {
		i := min(int((1-left)*float64(len(sorted))), len(sorted)-1)
		fmt.Fprintf(&d, "%s%.1f %.1f", command, plotX(1-left), plotY(float64(sorted[i])/float64(time.Millisecond)))
		command = "L"
	}
	return d.String()
}

func plotX(p float64) float64 {
	share := math.Log((1-plotLowest)/(1-p)) / math.Log((1-plotLowest)/(1-plotHighest))
	return plotLeft + share*(plotWidth-plotRight-plotLeft)
}

func plotY(ms float64) float64 {
	share := math.Log(min(max(ms, plotFastest), plotSlowest)/plotFastest) / math.Log(plotSlowest/plotFastest)
	return plotHeight - plotBottom - share*(plotHeight-plotTop-plotBottom)
}
