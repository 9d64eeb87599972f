// What jsforce makes of the fake Salesforce: the requests of our connector, in
// the words of a client that is used against the real one.
const { Connection } = require("jsforce");

async function main({ url, clientId, clientSecret, refreshToken, externalId }) {
  const conn = new Connection({
    oauth2: { clientId, clientSecret, loginUrl: url }, instanceUrl: url, accessToken: "expired", refreshToken, version: "62.0",
  });
  let renewed = 0;
  conn.on("refresh", () => renewed++);
  const said = {};
  const found = await conn.search(
    "FIND {5551234567 OR 15551234567} IN PHONE FIELDS RETURNING Contact(Id, Name, Phone ORDER BY LastModifiedDate DESC LIMIT 20), Lead(Id, Name, Phone WHERE IsConverted = false ORDER BY LastModifiedDate DESC LIMIT 20)",
  );
  said.found = found.searchRecords.map((r) => `${r.attributes.type} ${r.Name}`);
  const made = await conn.sobject("Task").create({ Subject: "Call", CallObject: "call-1", TaskSubtype: "Call", WhoId: found.searchRecords[0].Id });
  said.made = made.success;
  said.queried = (await conn.query("SELECT Id FROM Task WHERE CallObject = 'call-1' LIMIT 1")).records[0].Id === made.id;
  said.updated = (await conn.sobject("Task").update({ Id: made.id, Subject: "Call again" })).success;
  said.upserted = (await conn.sobject("Task").upsert({ Subject: "Upserted", [externalId]: "call-2" }, externalId)).success;
  said.linked = (await conn.sobject("ContentDocumentLink").create({ ContentDocumentId: "069", LinkedEntityId: made.id, ShareType: "V", Visibility: "AllUsers" })).success;
  said.duplicate = await conn.sobject("ContentDocumentLink").create({ ContentDocumentId: "069", LinkedEntityId: made.id, ShareType: "V", Visibility: "AllUsers" })
    .then(() => "made twice", (e) => e.errorCode);
  said.unknownField = await conn.sobject("Task").create({ Nothing__c: 1 }).then(() => "taken", (e) => e.errorCode);
  said.externalField = (await conn.sobject("Task").describe()).fields.filter((f) => f.externalId).map((f) => f.name);
  said.limits = (await conn.request("/services/data/v62.0/limits")).DailyApiRequests.Max;
  said.renewed = renewed;
  return said;
}

let input = "";
process.stdin.on("data", (d) => (input += d)).on("end", () =>
  main(JSON.parse(input)).then((said) => console.log(JSON.stringify(said)), (e) => { console.error(e); process.exit(1); }));
