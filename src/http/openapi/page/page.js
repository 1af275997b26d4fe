"use strict";
const $ = (id) => document.getElementById(id);
// Text only, never markup: whatever a document says stays words.
const make = (tag, options = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(options)) {
    if (key === "class") node.className = value;
    else if (key in node) node[key] = value;
    else node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child !== undefined && child !== null));
  return node;
};
// `so` as code.
const words = (text) => String(text).split("`").map((part, at) => (at % 2 ? make("code", {}, part) : part));
const pretty = (value) => JSON.stringify(value, null, 2);
let token = "";

// Schemas, as one can read them.
const resolver = (doc) => (value) => {
  while (value && value.$ref) value = value.$ref.slice(2).split("/").reduce((at, key) => at[key.replace(/~1/g, "/")], doc);
  return value || {};
};
const kind = (schema, resolve) => {
  if (schema.$ref) { const inner = resolve(schema); return inner.enum ? kind(inner, resolve) : schema.$ref.split("/").pop(); }
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((word) => JSON.stringify(word)).join(" | ");
  const several = schema.oneOf || schema.anyOf;
  if (several) return several.map((part) => kind(part, resolve)).join(" | ");
  if (schema.allOf) return schema.allOf.map((part) => kind(part, resolve)).join(" & ");
  if ([].concat(schema.type).includes("array")) return `[${kind(schema.items || {}, resolve)}]` + ([].concat(schema.type).includes("null") ? " | null" : "");
  let text = [].concat(schema.type || "any").join(" | ");
  if (schema.format) text += ` (${schema.format})`;
  return text;
};
const bounds = (schema) => {
  const said = [];
  const range = (least, most, unit) => {
    if (least !== undefined && most !== undefined) said.push(`${least} to ${most.toLocaleString("en")}${unit}`);
    else if (most !== undefined) said.push(`at most ${most.toLocaleString("en")}${unit}`);
    else if (least) said.push(`at least ${least}${unit}`);
  };
  range(schema.minimum, schema.maximum, "");
  range(schema.minLength, schema.maxLength, " characters");
  if (schema.default !== undefined) said.push(`default ${JSON.stringify(schema.default)}`);
  return said.join(", ");
};
const fields = (schema, resolve, into = make("table"), prefix = "", depth = 0) => {
  schema = resolve(schema);
  for (const [name, field] of Object.entries(schema.properties || {})) {
    const needed = (schema.required || []).includes(name);
    const inner = resolve(field);
    into.append(make("tr", {},
      make("td", { class: "name" }, make("code", {}, prefix + name), needed ? make("span", { class: "need", title: "required" }, " *") : ""),
      make("td", { class: "mono soft" }, kind(field, resolve)),
      make("td", {}, ...words([inner.description, field.description !== inner.description && field.description, bounds(inner)].filter(Boolean).join("; ")))));
    const below = inner.items ? resolve(inner.items) : inner;
    if (below.properties && depth < 2) fields(below, resolve, into, `${prefix}${name}${inner.items ? "[]" : ""}.`, depth + 1);
  }
  return into;
};
const described = (title, schema, resolve) => {
  const table = fields(schema, resolve);
  return table.rows.length ? [make("h4", {}, title), make("div", { class: "wide" }, table)] : [];
};

// An operation.
const operationCard = (doc, path, method, operation) => {
  const resolve = resolver(doc), body = make("div");
  const role = (operation.description || "").match(/`(\w+)`/);
  const card = make("details", { class: "card", id: operation.operationId },
    make("summary", {}, make("span", { class: "method " + method }, method), make("code", {}, path), make("span", { class: "soft" }, ...words(operation.summary)),
      make("span", { class: "role" }, operation.security ? (role ? role[1] : "signed in") : "no token")), body);
  // Filled when it is opened: most never are.
  card.addEventListener("toggle", () => { if (card.open && !body.hasChildNodes()) fill(); });
  const fill = () => {
    const parameters = operation.parameters || [];
    if (parameters.length) {
      const table = make("table");
      for (const parameter of parameters) {
        const schema = resolve(parameter.schema);
        table.append(make("tr", {},
          make("td", { class: "name" }, make("code", {}, parameter.name), parameter.required ? make("span", { class: "need", title: "required" }, " *") : ""),
          make("td", { class: "soft" }, parameter.in),
          make("td", { class: "mono soft" }, kind(parameter.schema, resolve)),
          make("td", {}, ...words([parameter.description, bounds(schema)].filter(Boolean).join("; ")))));
      }
      body.append(make("h4", {}, "Parameters"), make("div", { class: "wide" }, table));
    }
    const content = operation.requestBody && Object.entries(operation.requestBody.content)[0];
    if (content) {
      body.append(...described(`Body${operation.requestBody.required ? "" : " (may be left out)"}, ${content[0]}`, content[1].schema, resolve));
      body.append(make("pre", {}, pretty(content[1].example)));
    }
    const answers = make("div", { class: "answers" });
    for (const [status, response] of Object.entries(operation.responses)) answers.append(answerOf(status, response, resolve));
    body.append(make("h4", {}, "Answers"), answers, tryIt(path, method, operation, resolve));
  };
  return card;
};
const answerOf = (status, response, resolve) => {
  const [type, content] = Object.entries(response.content || {})[0] || [];
  const examples = content && content.examples ? Object.entries(content.examples) : [];
  const box = make("details", { open: status < 300 },
    make("summary", {}, make("b", { class: "s" + status[0] }, status), " ", ...words(response.description),
      examples.length ? make("span", { class: "soft" }, " — " + examples.map(([code]) => code).join(", ")) : ""));
  const names = Object.keys(response.headers || {});
  if (names.length) {
    const table = make("table");
    for (const name of names) table.append(make("tr", {}, make("td", { class: "name" }, make("code", {}, name)), make("td", {}, ...words(resolve(response.headers[name]).description || ""))));
    box.append(make("div", { class: "wide" }, table));
  }
  if (content && content.example !== undefined) box.append(make("pre", {}, pretty(content.example)));
  if (examples.length) box.append(make("pre", {}, pretty(examples[0][1].value)));
  if (content && !examples.length && content.example === undefined) box.append(make("p", { class: "soft" }, type));
  if (content && status < 300) box.append(...described("Fields", content.schema, resolve));
  return box;
};

// Try it.
const tryIt = (path, method, operation, resolve) => {
  const inputs = [], form = make("form", { class: "try" }, make("h4", {}, "Try it"));
  if (Object.keys(operation.responses).some((status) => (operation.responses[status].content || {})["text/event-stream"])) {
    form.append(make("p", { class: "soft" }, "This answer has no end: "), make("pre", {}, `curl -N -H 'Authorization: Bearer …' '${location.origin}${path}'`));
    return form;
  }
  for (const parameter of operation.parameters || []) {
    const schema = resolve(parameter.schema);
    const words = schema.enum || (schema.type === "boolean" ? [true, false] : null);
    const input = words
      ? make("select", {}, make("option", { value: "" }, ""), ...words.map((word) => make("option", { value: word }, String(word))))
      : make("input", { placeholder: kind(parameter.schema, resolve), spellcheck: false, autocomplete: "off" });
    input.required = !!parameter.required;
    inputs.push({ parameter, input });
    form.append(make("label", {}, make("span", {}, make("code", {}, parameter.name), make("span", { class: "soft" }, ` ${parameter.in}`)), input));
  }
  const content = operation.requestBody && Object.values(operation.requestBody.content)[0];
  const text = content && make("textarea", { value: pretty(content.example), rows: pretty(content.example).split("\n").length, spellcheck: false, "aria-label": "Body" });
  if (text) form.append(text);
  const send = make("button", { class: "do" }, "Send"), copy = make("button", { type: "button" }, "Copy as curl"), state = make("span", { class: "soft" });
  const result = make("div", { "aria-live": "polite" });
  form.append(make("div", { class: "row" }, send, copy, state), result);
  const request = () => {
    let url = path;
    const query = new URLSearchParams(), headers = {};
    for (const { parameter, input } of inputs) {
      if (input.value === "") continue;
      if (parameter.in === "path") url = url.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
      else if (parameter.in === "query") query.set(parameter.name, input.value);
      else headers[parameter.name] = input.value;
    }
    if (token && operation.security) headers.Authorization = "Bearer " + token;
    if (text && text.value.trim()) headers["Content-Type"] = "application/json";
    const asked = query.toString();
    return { url: url + (asked ? "?" + asked : ""), options: { method: method.toUpperCase(), headers, body: text && text.value.trim() ? text.value : undefined } };
  };
  copy.addEventListener("click", async () => {
    const { url, options } = request(), quote = (word) => `'${word.replace(/'/g, `'\\''`)}'`;
    const parts = ["curl", "-X", options.method, quote(location.origin + url)];
    for (const [name, value] of Object.entries(options.headers)) parts.push("-H", quote(`${name}: ${value}`));
    if (options.body) parts.push("-d", quote(options.body));
    try { await navigator.clipboard.writeText(parts.join(" ")); state.textContent = "copied"; } catch { result.replaceChildren(make("pre", {}, parts.join(" "))); }
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    send.disabled = true;
    const { url, options } = request(), began = performance.now();
    try {
      const answer = await fetch(url, options), said = await answer.text();
      state.textContent = `${Math.round(performance.now() - began)} ms`;
      let shown = said;
      try { shown = pretty(JSON.parse(said)); } catch { /* not JSON: as it is */ }
      if (shown.length > 100_000) shown = shown.slice(0, 100_000) + "\n…";
      const headers = [...answer.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
      result.replaceChildren(make("p", {}, make("b", { class: "s" + String(answer.status)[0] }, `${answer.status} ${answer.statusText}`)),
        make("pre", {}, shown || "(no body)"), make("details", {}, make("summary", { class: "soft" }, "Headers"), make("pre", {}, headers)));
    } catch (error) { state.textContent = String(error); }
    send.disabled = false;
  });
  return form;
};

// What is heard live.
const eventCard = (doc, name, message, places, isCommand, done) => {
  const resolve = resolver(doc), body = make("div");
  const card = make("details", { class: "card", id: (isCommand ? "command_" : "event_") + name },
    make("summary", {}, make("span", { class: "method event" }, isCommand ? "say" : "hear"), make("code", {}, name), make("span", { class: "soft" }, ...words(message.summary))), body);
  card.addEventListener("toggle", () => {
    if (!card.open || body.hasChildNodes()) return;
    if (message.description) body.append(make("p", {}, ...words(message.description)));
    if (places.length) body.append(make("p", { class: "soft" }, "Channels: " + places.join(", ")));
    body.append(make("pre", {}, pretty(message.examples[0].payload)), ...described(isCommand ? "Members" : "Fields", message.payload, resolve));
    if (done) body.append(make("h4", {}, "Answer"), make("pre", {}, pretty(done.examples[0].payload)));
  });
  return card;
};
const showEvents = (doc) => {
  const resolve = resolver(doc), { channels, components } = doc;
  const commands = Object.keys(channels.commands.messages), into = $("all-events");
  const section = (title, text, cards) => into.append(make("section", {}, make("h2", { id: "tag-" + title }, title), make("p", { class: "soft" }, ...words(text)), ...cards));
  const heard = Object.keys(components.messages).filter((name) => !commands.includes(name));
  section("events", doc.info.description, heard.map((name) => {
    const places = Object.values(channels).filter((channel) => channel.messages[name]).map((channel) => channel.address);
    return eventCard(doc, name, components.messages[name], places, false);
  }));
  const asked = commands.filter((name) => components.messages[name + "_done"]);
  section("commands", channels.commands.description, asked.map((name) =>
    eventCard(doc, name, resolve(channels.commands.messages[name]), [], true, components.messages[name + "_done"])));
  contents("events", heard.map((name) => ["event", "hear", name, "event_" + name]));
  contents("commands", asked.map((name) => ["event", "say", name, "command_" + name]));
};

// The whole page.
const contents = (title, rows) => {
  const part = make("div", {}, make("b", {}, title));
  for (const [cls, method, text, id] of rows) part.append(make("a", { href: "#" + id, title: text }, make("span", { class: "method " + cls }, method), text));
  $("contents").append(part);
};
const showOperations = (doc) => {
  $("about").replaceChildren(...words(`${doc.info.summary}. ${doc.info.description}`));
  $("version").textContent = doc.info.version;
  const byTag = new Map(doc.tags.map((tag) => [tag.name, { text: tag.description, rows: [] }]));
  for (const [path, item] of Object.entries(doc.paths))
    for (const [method, operation] of Object.entries(item)) {
      const tag = operation.tags[0];
      if (!byTag.has(tag)) byTag.set(tag, { text: "", rows: [] });
      byTag.get(tag).rows.push({ path, method, operation });
    }
  for (const [tag, { text, rows }] of byTag) {
    if (!rows.length) continue;
    $("all-operations").append(make("section", {}, make("h2", { id: "tag-" + tag }, tag), make("p", { class: "soft" }, ...words(text)),
      ...rows.map(({ path, method, operation }) => operationCard(doc, path, method, operation))));
    contents(tag, rows.map(({ path, method, operation }) => [method, method, path.replace("/api/v1", ""), operation.operationId]));
  }
};
const open = () => {
  const card = $(decodeURIComponent(location.hash.slice(1)));
  if (card && card.tagName === "DETAILS") { card.open = true; card.scrollIntoView(); }
};
const filter = () => {
  const wanted = $("filter").value.toLowerCase();
  for (const node of document.querySelectorAll("details.card > summary, nav a")) {
    const shown = node.textContent.toLowerCase().includes(wanted);
    (node.tagName === "A" ? node : node.parentNode).classList.toggle("hidden", !shown);
  }
  for (const part of document.querySelectorAll("#contents > div, main section:not(.intro)"))
    part.classList.toggle("hidden", !part.querySelector("a:not(.hidden), details.card:not(.hidden)"));
};
const sign = async (given) => {
  token = given;
  const answer = await fetch("/api/v1/auth/me", { headers: { Authorization: "Bearer " + token } });
  const said = await answer.json();
  $("signed").className = answer.ok ? "" : "no";
  $("signed").textContent = answer.ok ? `${said.data.name}, ${said.data.role}` : said.detail;
};
$("filter").addEventListener("input", filter);
$("who").token.addEventListener("change", (event) => event.target.value && sign(event.target.value.trim()));
$("who").addEventListener("submit", async (event) => {
  event.preventDefault();
  const { email, password } = event.target;
  if (!email.value) return;
  const answer = await fetch("/api/v1/auth/login", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ email: email.value, password: password.value }) });
  const said = await answer.json();
  if (answer.ok) { password.value = ""; await sign(said.data.access_token); } else { $("signed").className = "no"; $("signed").textContent = said.detail; }
});
$("menu").open = matchMedia("(min-width: 60.01rem)").matches;
addEventListener("hashchange", open);
addEventListener("keydown", (event) => {
  if (event.key === "/" && !/INPUT|TEXTAREA|SELECT/.test(event.target.tagName)) { event.preventDefault(); $("filter").focus(); }
});
const read = (url) => fetch(url).then((answer) => { if (!answer.ok) throw new Error(`${url}: ${answer.status}`); return answer.json(); });
Promise.all([read("/api/v1/openapi.json"), read("/api/v1/asyncapi.json")])
  .then(([rest, live]) => { showOperations(rest); showEvents(live); open(); })
  .catch((error) => { $("about").textContent = "The documents cannot be read: " + error; });
