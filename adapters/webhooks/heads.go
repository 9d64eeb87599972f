package webhooks

import (
	"slices"
	"strings"
)

// heads are what a lane could send: the first items of their keys, in the order
// in which they became so. Live ones go before those of replays.
type heads struct{ live, again []*item }

// background reports whether an item is of a replay that goes on beside live
// traffic. What somebody sends again by hand is not.
func (it *item) background() bool {
	return it.ReplayID != "" && !strings.HasPrefix(it.ReplayID, resendPrefix)
}

func (h *heads) push(it *item) {
	if it.background() {
		h.again = append(h.again, it)
		return
	}
	h.live = append(h.live, it)
}

// drop takes out the items that are chosen.
func (h *heads) drop(chosen func(*item) bool) {
	h.live = slices.DeleteFunc(h.live, chosen)
	h.again = slices.DeleteFunc(h.again, chosen)
}

// pop takes the first item out that may be sent while so many of replays are
// under way; nil when none may.
func (h *heads) pop(replaying, most int) *item {
	for _, q := range []*[]*item{&h.live, &h.again} {
		if len(*q) == 0 || q == &h.again && replaying >= most {
			continue
		}
		it := (*q)[0]
		(*q)[0] = nil
		*q = (*q)[1:]
		return it
	}
	return nil
}

// may reports whether pop would return something.
func (h *heads) may(replaying, most int) bool {
	return len(h.live) > 0 || len(h.again) > 0 && replaying < most
}

// replayShare is how many requests of replays a lane may have under way: half,
// so that live traffic finds a free slot, unless the receiver is the replay's.
func (l *lane) replayShare() int {
	if l.own {
		return l.limit
	}
	return max(1, l.limit/2)
}
