// A Zapier app for a hub, as somebody would write it with zapier-platform-core:
// one instant trigger for each event of a dialnote webhook.
const { version } = require('./package.json');
const platform = require('zapier-platform-core').version;

const hub = (bundle) => bundle.authData.hub_url;

// The key behind "Show Key" goes with each request (seed 001).
const addKey = (request, z, bundle) => {
  if (bundle.authData.api_key) request.headers['X-DIALNOTE-API-KEY'] = bundle.authData.api_key;
  return request;
};

const trigger = (key, noun) => ({
  key,
  noun,
  display: { label: `New ${noun}`, description: `Triggers when there is a new ${noun.toLowerCase()}.` },
  operation: {
    type: 'hook',
    performSubscribe: async (z, bundle) => {
      const response = await z.request({
        method: 'POST',
        url: `${hub(bundle)}/hooks/zapier`,
        body: { target_url: bundle.targetUrl, event: key },
      });
      return response.data;
    },
    performUnsubscribe: async (z, bundle) => {
      await z.request({ method: 'DELETE', url: `${hub(bundle)}/hooks/zapier/${bundle.subscribeData.id}` });
      return {};
    },
    perform: (z, bundle) => [bundle.cleanedRequest],
    performList: async (z, bundle) => {
      const response = await z.request({ url: `${hub(bundle)}/hooks/zapier/samples`, params: { event: key } });
      return response.data;
    },
    sample: { id: '1', type: 'call.completed', timestamp: '2024-01-15T10:30:00Z', organizationId: 'org', data: {} },
  },
});

const triggers = [trigger('call_logs', 'Call'), trigger('call_recordings', 'Recording'), trigger('notes', 'Note')];

module.exports = {
  version,
  platformVersion: platform,
  authentication: {
    type: 'custom',
    test: { url: '{{bundle.authData.hub_url}}/hooks/zapier/samples?event=notes' },
    fields: [
      { key: 'hub_url', label: 'URL of the hub', required: true, type: 'string' },
      { key: 'api_key', label: 'Zapier key', required: true, type: 'password' },
    ],
    connectionLabel: 'Trunkline',
  },
  beforeRequest: [addKey],
  triggers: Object.fromEntries(triggers.map((t) => [t.key, t])),
};
