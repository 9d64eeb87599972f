package webhooks

// fifo is a queue that uses its array again: a slice that is cut in front and
// grows behind needs a new one each time that it comes to its end.
type fifo[T any] struct {
	items []T
	// head is where the first one stands.
	head int
}

func (q *fifo[T]) len() int { return len(q.items) - q.head }

func (q *fifo[T]) push(v T) {
	if len(q.items) == cap(q.items) && q.head > len(q.items)/2 {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, v)
}

// waiting are those in the queue, the first one first.
func (q *fifo[T]) waiting() []T { return q.items[q.head:] }

// drop takes the first n out.
func (q *fifo[T]) drop(n int) {
	clear(q.items[q.head : q.head+n])
	if q.head += n; q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	}
}
