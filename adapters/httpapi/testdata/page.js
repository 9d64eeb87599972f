// Runs the script of /docs on a page of its own and says what the page then shows:
// per operation its id and all of its text.
"use strict";
const { page, doc } = JSON.parse(require("fs").readFileSync(0, "utf8"));
const element = (tag) => {
  const e = { tag, kids: [], id: "", textContent: "" };
  e.append = (...k) => { e.kids.push(...k); };
  e.replaceChildren = (...k) => { e.kids = k; };
  e.appendChild = (k) => { e.kids.push(k); return k; };
  const added = (tag) => () => e.appendChild(element(tag));
  e.createTHead = added("thead"); e.createTBody = added("tbody"); e.insertRow = added("tr"); e.insertCell = added("td");
  return e;
};
const text = (e) => [e.textContent, ...e.kids.map(text)].filter(Boolean).join("\n");
const main = element("main");
const document = { createElement: element, getElementById: (id) => (id === "doc" ? main : null) };
const fetch = async () => ({ json: async () => doc });
const script = /<script>([^]*)<\/script>/.exec(page)[1];
new Function("document", "fetch", "location", script)(document, fetch, { hash: "" });
setImmediate(() => {
  if (!main.kids.length) throw new Error(main.textContent);
  process.stdout.write(JSON.stringify(Object.fromEntries(main.kids.filter((k) => k.tag === "details").map((k) => [k.id, text(k)]))));
});
