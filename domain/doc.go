// Package domain holds what is true of a call centre whatever stores or
// transports it: the facts, how state follows from them, and the decisions.
// It imports the standard library only, and nothing in it reads a clock, draws
// a random number, does I/O or starts a goroutine: a fold must give the same
// answer to the projector, to an as-of query, to a replay and to an auditor.
//
// # Words
//
//   - fact, event: something that happened, in the past tense, complete and
//     immutable. Its type has a wire name that never changes (call.ended.v1).
//   - envelope: what is known of an event beside its data: ids, org, actor,
//     occurred_at (when it happened, the source's clock) and recorded_at (when
//     we accepted it, ours).
//   - entity: the thing an event is about (one call, one lead). Events of one
//     entity share a key and therefore a partition and an order.
//   - log: the Kafka topics. It is the truth; all else can be rebuilt from it.
//   - position: where an event stands in the log: topic, partition, offset.
//   - version: how many events of an entity have been folded; 1 is the first.
//   - fold: the pure function (state, event) → state.
//   - verdict: what the fold decided about an event (created or updated,
//     accepted or marked as impossible). The log decides; an API may wait.
//   - provenance: which event set each field of a state.
//   - projection: the definition of a read model; projector: the running one.
//   - generation: one build of a projection's tables; a rebuild makes the next.
//   - checkpoint: the offset up to which a projector's effect is durable.
//   - park: set a poison entity aside, listed, so that the others go on.
//   - org: a tenant. Nothing crosses orgs. list: a calling list of an org.
//   - connection: a system that sends us webhooks. endpoint: a receiver that
//     gets ours (a "webhook" in the API). connector: an endpoint that is reached
//     by more than a POST, such as a CRM; kind: which system that is. step: one
//     thing that a connector does in an attempt.
//   - dialect: one system's webhook format: payload, headers, signature.
//   - delivery: one event owed to one endpoint. attempt: one HTTP request of
//     it. lane: an endpoint's share of the delivery engine.
//   - replay: a job that owes past events to receivers again. start: the job by
//     which a new endpoint gets what it is owed of the past.
//   - held: kept for a paused endpoint. exhausted: all attempts used up.
//   - operation: something that the hub says of its own webhooks. standing: how
//     an endpoint does, folded from that.
//   - account: where each event of a day stands towards an endpoint; what
//     nothing accounts for is lost.
package domain
