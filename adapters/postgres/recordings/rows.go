package recordings

import (
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"trunkline.dev/trunkline/adapters/postgres/internal/dbtime"
	"trunkline.dev/trunkline/commands/recordings"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/recording"
)

// columnList is what is read of a row, in the order of scan.
const columnList = `
  r.recording_id, r.org_id, r.call_id, r.source_id, r.partition, r.state,
  r.announced_id, r.correlation_id, r.origin, r.announced_at, r.url, r.format, r.duration_sec, r.expires_at,
  r.blob_key, r.sha256, r.bytes, r.content_type, r.stored_at, r.deleted_at, r.held, r.hold_reason,
  r.attempts, r.last_error, r.due, r.delayed, r.delay_due, r.near_end, r.near_alerted, r.fail_alerted,
  r.asked_again, r.leased_by, r.list_id, r.deleting_days, r.deletion_unanswered,
  EXISTS (SELECT FROM recording_uploads u WHERE u.blob_key = r.blob_key)`

// row is a recording with what only the work needs.
type row struct {
	recording.Recording
	leasedBy string
}

func (r row) locked(owner string, now time.Time) recordings.Locked {
	return recordings.Locked{Recording: r.Recording, Ours: r.leasedBy == owner, Now: event.Time(now)}
}

func scan(from pgx.CollectableRow) (row, error) {
	var r row
	var state, origin string
	var expires, stored, deleted, due, delay, near *time.Time
	var list *string
	err := from.Scan(&r.ID, &r.Org, &r.CallID, &r.SourceID, &r.Partition, &state,
		&r.Announced.EventID, &r.Announced.CorrelationID, &origin, &r.Announced.RecordedAt, &r.URL, &r.Format, &r.DurationSec, &expires,
		&r.Key, &r.SHA256, &r.Bytes, &r.ContentType, &stored, &deleted, &r.Held, &r.HoldReason,
		&r.Attempts, &r.LastError, &due, &r.Delayed, &delay, &near, &r.NearAlerted, &r.FailAlerted,
		&r.AskedAgain, &r.leasedBy, &list, &r.DeletingDays, &r.Unanswered, &r.Unread)
	r.State, r.Announced.Origin = call.CopyState(state), event.Origin(origin)
	r.Announced.RecordedAt = r.Announced.RecordedAt.UTC()
	r.ExpiresAt, r.StoredAt, r.DeletedAt = dbtime.From(expires), dbtime.From(stored), dbtime.From(deleted)
	r.Due, r.DelayDue, r.NearEnd = dbtime.From(due), dbtime.From(delay), dbtime.From(near)
	if list != nil {
		r.ListID, r.ListKnown = *list, true
	}
	return r, err
}

// args are a recording as the arguments of saveSQL. Of what others say in the log
// everything must be storable: ids are derived or short (projections.Sound), the host,
// which stands in indexes, is cut by Host, and other texts are no keys.
func args(r recording.Recording) []any {
	return []any{
		r.ID, r.Org, r.CallID, r.SourceID, r.Partition, string(r.State),
		r.Announced.EventID, r.Announced.CorrelationID, string(r.Announced.Origin), r.Announced.RecordedAt, r.URL, recordings.SourceOf(r.Org, r.URL), r.Format, r.DurationSec, dbtime.To(r.ExpiresAt),
		r.Key, r.SHA256, r.Bytes, r.ContentType, dbtime.To(r.StoredAt), dbtime.To(r.DeletedAt), r.Held, r.HoldReason,
		min(max(r.Attempts, 0), math.MaxInt32), r.LastError, dbtime.To(r.Due), r.Delayed, dbtime.To(r.DelayDue), dbtime.To(r.NearEnd), r.NearAlerted, r.FailAlerted, r.AskedAgain,
		r.Urgent(), r.DeletingDays, r.Unanswered,
	}
}
