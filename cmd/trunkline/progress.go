package main

import (
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// progressState is how far something is that the hub does.
type progressState struct {
	// title names it, stage what it is doing.
	title, stage string
	done, total  int64
	// unit is what is counted; pace says how fast it goes.
	unit, pace string
}

// progress shows how far something is.
type progress struct {
	update func(progressState)
	// end stops showing; good says whether it came to its end.
	end func(good bool)
}

// showProgress is a bar on a terminal, lines elsewhere, nothing when quiet.
func showProgress(w io.Writer, quiet bool, begun progressState) progress {
	switch {
	case quiet:
		return progress{update: func(progressState) {}, end: func(bool) {}}
	case isTerminal(w):
		return barProgress(w, begun)
	}
	return lineProgress(w)
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// barProgress has the pace that it is told: the bar's own would measure how
// often the hub is asked.
func barProgress(w io.Writer, begun progressState) progress {
	var now atomic.Pointer[progressState] // the bar draws in a goroutine of its own
	now.Store(&begun)
	bars := mpb.New(mpb.WithOutput(w), mpb.WithWidth(64), mpb.WithAutoRefresh())
	bar := bars.AddBar(0, // a total that may grow: the log does meanwhile
		mpb.PrependDecorators(
			decor.Any(func(decor.Statistics) string { return begun.title + " " + now.Load().stage + " " }),
			decor.CountersNoUnit("%d / %d"),
		),
		mpb.AppendDecorators(
			decor.Percentage(),
			decor.Any(func(decor.Statistics) string { return "  " + now.Load().pace }),
		),
	)
	return progress{
		update: func(s progressState) {
			now.Store(&s)
			if s.total > 0 {
				bar.SetTotal(s.total, false)
				bar.SetCurrent(s.done)
			}
		},
		end: func(good bool) {
			if good {
				bar.SetTotal(-1, true)
			} else {
				bar.Abort(false)
			}
			bars.Wait()
		},
	}
}

// lineProgress prints a line when the stage changes and every few seconds.
func lineProgress(w io.Writer) progress {
	var stage string
	var at time.Time
	return progress{
		update: func(s progressState) {
			if s.stage == stage && time.Since(at) < linesEvery {
				return
			}
			stage, at = s.stage, time.Now()
			fmt.Fprintf(w, "%s: %s", s.title, s.stage)
			if s.total > 0 {
				fmt.Fprintf(w, " %d / %d %s (%d %%), %s", s.done, s.total, s.unit, 100*s.done/s.total, s.pace)
			}
			fmt.Fprintln(w)
		},
		end: func(bool) {},
	}
}

const linesEvery = 5 * time.Second
