package httpapi

import (
	"net/http"

	"trunkline.dev/trunkline/domain/tenant"
)

// handler answers a request. It writes its answer last, or returns an error,
// which problemOf turns into one.
type handler func(w http.ResponseWriter, r *http.Request, p Principal) error

// route is one line of the API. Patterns are those of net/http.ServeMux.
type route struct {
	method, pattern string
	// scope is what a key must have.
	scope  tenant.Scope
	handle handler
	flags  flag
}

type flag uint8

// What is unusual about a route.
const (
	// public: no key.
	public flag = 1 << iota
	// listKey: the key of a list in X-API-Key.
	listKey
	// zapierKey: the key behind "Show Key" in X-DIALNOTE-API-KEY.
	zapierKey
	// rawKey: the key is the whole Authorization, without a scheme.
	rawKey
	// limited: counted against the limit of requests per minute of its key.
	limited
	// streams: no deadline for the whole, but one for each part of the answer; the
	// handler's context ends when the server stops.
	streams
	// anyBody: the handler limits and reads the body itself, and an
	// Idempotency-Key has no effect on it.
	anyBody
	// newID: the path may name what is not there yet; the handler judges the id.
	newID
)

func (rt route) is(f flag) bool { return rt.flags&f != 0 }

// routes is the list of all routes. Each has its section in
// schemas/openapi.yaml; a test compares the two.
func (s *Server) routes() []route {
	const (
		read  = tenant.ScopeRead
		write = tenant.ScopeWrite
		admin = tenant.ScopeAdmin
	)
	return append(s.probes(), []route{
		{"GET", "/openapi.json", "", s.openapi, public},
		{"GET", "/docs", "", s.docs, public},

		// Facts in.
		{"POST", "/api/public/leads", tenant.ScopeLeads, s.publicLeads, listKey | limited},
		{"POST", "/v1/leads", write, s.leads, 0},
		{"POST", "/v1/calls", write, s.startCall, 0},
		{"PATCH", "/v1/calls/{id}", write, s.updateCall, 0},
		// Half a gigabyte takes as long as it takes; its handler has a deadline for
		// each part.
		{"PUT", "/v1/calls/{id}/recording", write, s.uploadRecording, streams | anyBody},
		{"POST", "/v1/agents/{id}/state", write, s.agentState, newID},
		{"POST", "/v1/alerts", write, s.triggerAlert, 0},
		{"POST", "/v1/alerts/{id}/acknowledge", write, s.acknowledgeAlert, 0},
		{"POST", "/v1/alerts/{id}/resolve", write, s.resolveAlert, 0},
		{"POST", "/v1/messages", write, s.recordMessage, 0},
		{"POST", "/v1/contacts", write, s.createContact, 0},
		{"PATCH", "/v1/contacts/{id}", write, s.updateContact, 0},
		{"POST", "/v1/events", write, s.recordEvents, 0},
		{"POST", "/in/{connection_id}", "", s.inboundWebhook, public | anyBody},
		{"GET", "/crm/{connection_id}/contacts", "", s.lookUpContact, public},

		// Facts out.
		{"GET", "/v1/leads", read, s.listLeads, 0},
		{"GET", "/v1/leads/{id}", read, s.readLead, 0},
		{"GET", "/v1/calls", read, s.listCalls, 0},
		{"GET", "/v1/calls/{id}", read, s.readCall, 0},
		{"GET", "/v1/calls/{id}/history", read, s.callHistory, 0},
		{"GET", "/v1/agents", read, s.listAgents, 0},
		{"GET", "/v1/agents/{id}", read, s.readAgent, 0},
		{"GET", "/v1/agents/{id}/states", read, s.listAgentStates, 0},
		{"GET", "/v1/alerts", read, s.listAlerts, 0},
		{"GET", "/v1/alerts/{id}", read, s.readAlert, 0},
		{"GET", "/v1/messages", read, s.listMessages, 0},
		{"GET", "/v1/messages/{id}", read, s.readMessage, 0},
		{"GET", "/v1/contacts", read, s.listContacts, 0},
		{"GET", "/v1/contacts/{id}", read, s.readContact, 0},
		{"GET", "/v1/recordings", read, s.listRecordings, 0},
		{"GET", "/v1/recordings/{id}", read, s.readRecording, 0},
		{"GET", "/v1/recordings/{id}/audio", read, s.recordingAudio, streams},
		{"POST", "/v1/recordings/{id}/fetch", admin, s.fetchRecording, 0},
		// Verifying reads every byte.
		{"POST", "/v1/recordings/{id}/verify", admin, s.verifyRecording, streams},
		{"POST", "/v1/recordings/{id}/hold", admin, s.holdRecording, 0},
		{"DELETE", "/v1/recordings/{id}/hold", admin, s.releaseRecording, 0},
		{"GET", "/recordings/{id}", "", s.followLink, public | streams},
		{"GET", "/v1/events", read, s.readEvents, 0},
		{"GET", "/v1/events/stream", read, s.streamEvents, streams},
		{"GET", "/v1/events/{id}", read, s.readEvent, 0},
		{"GET", "/v1/events/{id}/webhooks", read, s.previewEvent, 0},
		{"GET", "/v1/projections", read, s.listProjections, 0},
		{"GET", "/v1/projections/{name}", read, s.readProjection, 0},
		{"POST", "/v1/projections/{name}/rebuild", admin, s.beginRebuild, 0},
		// Comparing reads every row: as long as it takes.
		{"GET", "/v1/projections/{name}/diff", admin, s.diffRebuild, streams},
		{"POST", "/v1/projections/{name}/switch", admin, s.switchRebuild, 0},
		{"POST", "/v1/projections/{name}/rollback", admin, s.rollbackProjection, 0},
		{"POST", "/v1/projections/{name}/drop", admin, s.dropRebuild, 0},
		{"GET", "/v1/projections/{name}/parked", admin, s.listParked, 0},
		{"POST", "/v1/projections/{name}/parked/retry", admin, s.retryParked, 0},
		{"POST", "/v1/projections/{name}/parked/skip", admin, s.skipParked, 0},

		// Settings.
		{"POST", "/v1/orgs", admin, s.createOrg, 0},
		{"POST", "/v1/lists", admin, s.createList, 0},
		{"GET", "/v1/lists", read, s.listLists, 0},
		{"GET", "/v1/lists/{id}", read, s.getList, 0},
		{"PATCH", "/v1/lists/{id}", admin, s.changeList, 0},
		{"DELETE", "/v1/lists/{id}", admin, s.deleteList, 0},
		{"POST", "/v1/lists/{id}/keys", admin, s.rotateListKey, 0},
		{"POST", "/v1/connections", admin, s.createConnection, 0},
		{"GET", "/v1/connections", read, s.listConnections, 0},
		{"PATCH", "/v1/connections/{id}", admin, s.changeConnection, 0},
		{"DELETE", "/v1/connections/{id}", admin, s.deleteConnection, 0},
		{"POST", "/v1/api-keys", admin, s.createKey, 0},
		{"GET", "/v1/api-keys", admin, s.listKeys, 0},
		{"DELETE", "/v1/api-keys/{id}", admin, s.deleteKey, 0},
		{"POST", "/v1/alert-rules", admin, s.createRule, 0},
		{"GET", "/v1/alert-rules", read, s.listRules, 0},
		{"GET", "/v1/alert-rules/{id}", read, s.getRule, 0},
		{"PATCH", "/v1/alert-rules/{id}", admin, s.changeRule, 0},
		{"DELETE", "/v1/alert-rules/{id}", admin, s.deleteRule, 0},
		{"GET", "/v1/zapier-key", admin, s.zapierKey, 0},
		{"GET", "/v1/keyring", admin, s.keyring, 0},
		{"POST", "/v1/keyring/rotate", admin, s.rotateKeyring, 0},

		// Zapier's REST hooks.
		{"POST", "/hooks/zapier", tenant.ScopeZapier, s.subscribeZapier, zapierKey},
		{"DELETE", "/hooks/zapier/{id}", tenant.ScopeZapier, s.unsubscribeZapier, zapierKey},
		{"GET", "/hooks/zapier/samples", tenant.ScopeZapier, s.zapierSamples, zapierKey},

		// Webhooks.
		{"POST", "/v1/webhooks", admin, s.createWebhook, 0},
		{"GET", "/v1/webhooks", read, s.listWebhooks, 0},
		{"GET", "/v1/webhooks/stream", read, s.streamWebhooks, streams},
		{"GET", "/v1/webhooks/{id}", read, s.getWebhook, 0},
		{"PATCH", "/v1/webhooks/{id}", admin, s.changeWebhook, 0},
		{"DELETE", "/v1/webhooks/{id}", admin, s.deleteWebhook, 0},
		{"GET", "/v1/webhooks/{id}/secret", admin, s.webhookSecret, 0},
		{"POST", "/v1/webhooks/{id}/rotate-secret", admin, s.rotateWebhookSecret, 0},
		{"POST", "/v1/webhooks/{id}/rotate-signing-key", admin, s.rotateWebhookKey, 0},
		{"GET", "/v1/webhooks/{id}/jwks.json", "", s.webhookKeys, public},
		{"POST", "/v1/webhooks/{id}/handshake", admin, s.askConsent, 0},
		{"GET", "/v1/webhooks/{id}/consent", "", s.takeConsent, public},
		{"POST", "/v1/webhooks/{id}/consent", "", s.takeConsent, public},
		{"POST", "/v1/webhooks/{id}/enable", admin, s.enableWebhook, 0},
		{"POST", "/v1/webhooks/{id}/disable", admin, s.disableWebhook, 0},
		{"POST", "/v1/webhooks/{id}/test", admin, s.testWebhook, 0},
		{"POST", "/v1/webhooks/{id}/recover", admin, s.recoverWebhook, 0},
		// Planning a day anew takes as long as the day was full.
		{"GET", "/v1/webhooks/{id}/reconciliation", read, s.reconcileWebhook, streams},
		{"GET", "/v1/webhooks/{id}/history", read, s.webhookHistory, 0},
		{"GET", "/v1/webhooks/{id}/deliveries", read, s.listDeliveries, 0},
		{"GET", "/v1/deliveries/{id}", read, s.getDelivery, 0},
		{"POST", "/v1/deliveries/{id}/resend", admin, s.resendDelivery, 0},
		{"POST", "/v1/deliveries/{id}/cancel", admin, s.cancelDelivery, 0},
		{"POST", "/v1/replays", admin, s.createReplay, 0},
		{"GET", "/v1/replays", read, s.listReplays, 0},
		{"GET", "/v1/replays/{id}", read, s.getReplay, 0},
		{"POST", "/v1/replays/{id}/pause", admin, s.pauseReplay, 0},
		{"POST", "/v1/replays/{id}/resume", admin, s.resumeReplay, 0},
		{"POST", "/v1/replays/{id}/abort", admin, s.abortReplay, 0},
		{"GET", "/v1/replays/{id}/report", read, s.replayReport, 0},

		// Allo's own management calls.
		{"POST", "/v1/api/webhooks", admin, s.putAlloWebhook, rawKey},
		{"GET", "/v1/api/webhooks", read, s.listAlloWebhooks, rawKey},
		{"POST", "/v2/api/webhooks", admin, s.createAllo2Webhook, rawKey},
		{"GET", "/v2/api/webhooks", read, s.listAllo2Webhooks, rawKey},
		{"GET", "/v2/api/webhooks/event_types", read, s.listAllo2Topics, rawKey},
		{"GET", "/v2/api/webhooks/{id}", admin, s.getAllo2Webhook, rawKey},
		{"PUT", "/v2/api/webhooks/{id}", admin, s.changeAllo2Webhook, rawKey},
		{"DELETE", "/v2/api/webhooks/{id}", admin, s.deleteAllo2Webhook, rawKey},

		// Connectors.
		{"POST", "/v1/connectors", admin, s.createConnector, 0},
		{"GET", "/v1/connectors", read, s.listConnectors, 0},
		{"GET", "/v1/connectors/{id}", read, s.getWebhook, 0},
		{"PATCH", "/v1/connectors/{id}", admin, s.changeConnector, 0},
		{"DELETE", "/v1/connectors/{id}", admin, s.deleteWebhook, 0},
		{"POST", "/v1/connectors/{id}/check", admin, s.checkConnector, 0},
		{"GET", "/v1/connectors/{id}/secret", admin, s.webhookSecret, 0},
		{"POST", "/v1/connectors/{id}/rotate-secret", admin, s.rotateWebhookSecret, 0},
		{"POST", "/v1/connectors/{id}/enable", admin, s.enableWebhook, 0},
		{"POST", "/v1/connectors/{id}/disable", admin, s.disableWebhook, 0},
		{"POST", "/v1/connectors/{id}/test", admin, s.testWebhook, 0},
		{"POST", "/v1/connectors/{id}/recover", admin, s.recoverWebhook, 0},
		{"GET", "/v1/connectors/{id}/reconciliation", read, s.reconcileWebhook, streams},
		{"GET", "/v1/connectors/{id}/history", read, s.webhookHistory, 0},
		{"GET", "/v1/connectors/{id}/deliveries", read, s.listDeliveries, 0},
	}...)
}

// probes are the routes of a process that leaves the API to others.
func (s *Server) probes() []route {
	return []route{
		{"GET", "/healthz", "", s.healthz, public},
		{"GET", "/readyz", "", s.readyz, public},
		{"GET", "/metrics", "", s.metrics, public},
	}
}
