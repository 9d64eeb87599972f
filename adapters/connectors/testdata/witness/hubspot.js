// What HubSpot's own client makes of the fake HubSpot: the requests of our
// connector, as the vendor writes them.
const hubspot = require("@hubspot/api-client");

async function main({ url, token, unique }) {
  const c = new hubspot.Client({ accessToken: token, basePath: url });
  const said = {};
  const find = (value) => c.crm.contacts.searchApi.doSearch({
    filterGroups: [{ filters: [{ propertyName: "phone", operator: "EQ", value }] }], properties: ["phone"], sorts: ["-lastmodifieddate"], limit: 2, after: "0",
  });
  const contact = await c.crm.contacts.basicApi.create({ properties: { phone: "+15551234567", lastname: "Smith" }, associations: [] });
  said.found = (await find("+15551234567")).results.map((r) => r.properties.lastname);
  said.notFound = (await find("+15550000000")).results.length;
  const call = await c.crm.objects.calls.basicApi.create({
    properties: { hs_timestamp: "2026-11-28T12:00:00Z", hs_call_title: "Call", hs_call_direction: "OUTBOUND", hs_call_duration: "142000", hs_call_external_id: "call-1" },
    associations: [{ to: { id: contact.id }, types: [{ associationCategory: "HUBSPOT_DEFINED", associationTypeId: 194 }] }],
  });
  said.call = call.properties.hs_call_title;
  said.updated = (await c.crm.objects.calls.basicApi.update(call.id, { properties: { hs_call_title: "Call again" } })).properties.hs_call_title;
  said.upserted = (await c.crm.objects.calls.batchApi.upsert({ inputs: [{ idProperty: unique, id: "call-2", properties: { hs_timestamp: "2026-11-28T12:00:00Z" } }] })).results.length;
  await c.crm.associations.v4.basicApi.createDefault("calls", call.id, "contacts", contact.id);
  const file = await c.files.filesApi.upload(
    { data: Buffer.from("audio"), name: "r.mp3" }, undefined, "/call recordings", "r.mp3", undefined,
    JSON.stringify({ access: "PRIVATE", overwrite: false, duplicateValidationStrategy: "RETURN_EXISTING", duplicateValidationScope: "EXACT_FOLDER" }),
  );
  said.file = typeof file.id;
  said.owner = (await c.crm.owners.ownersApi.getPage("jane@company.com")).results.map((o) => o.email);
  said.unique = (await c.crm.properties.coreApi.getAll("calls")).results.filter((p) => p.hasUniqueValue).map((p) => p.name);
  said.unknownProperty = await c.crm.objects.calls.basicApi.update(call.id, { properties: { nothing: "x" } }).then(() => "taken", (e) => e.code);
  return said;
}

let input = "";
process.stdin.on("data", (d) => (input += d)).on("end", () =>
  main(JSON.parse(input)).then((said) => console.log(JSON.stringify(said)), (e) => { console.error(e); process.exit(1); }));
