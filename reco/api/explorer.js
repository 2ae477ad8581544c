"use strict";
// The explorer: asks the routes of this service, and shows what they say. Nothing is computed here but percentages.
const KEY = "reco-api-key"; // kept for this tab alone, in sessionStorage
const LOOK_MS = 10000, ROWS = 10;
const place = id => document.getElementById(id);
const make = (name, fields = {}, ...inner) => {
  const one = Object.assign(document.createElement(name), fields);
  one.append(...inner.flat().filter(part => part !== null && part !== undefined));
  return one;
};
// What stands between backticks is a name of a program.
const written = text => text.split("`").map((part, at) => at % 2 ? make("code", {}, part) : part);
const labelled = (one, label) => { one.setAttribute("aria-label", label); return one; };
const count = value => new Intl.NumberFormat("en").format(value);
const times = value => value >= 100 ? count(Math.round(value)) : value.toFixed(1);
const share = value => { // no part is told as nothing, and none as the whole
  const text = (100 * value).toFixed(value && value < .0995 || value >= .995 && value < 1 ? 1 : 0);
  return (value < 1 && text === "100.0" ? "> 99.9" : value && text === "0.0" ? "< 0.1" : text) + " %";
};
const orders = value => value === 1 ? "1 order" : count(value) + " orders";
const say = text => { place("say").textContent = text; };
const age = seconds => {
  for (const [name, length] of [["day", 86400], ["hour", 3600], ["minute", 60]]) {
    const whole = Math.floor(seconds / length);
    if (whole) return `${whole} ${name}${whole > 1 ? "s" : ""}`;
  }
  return "less than a minute";
};
const day = text => text.replace("T", " ").slice(0, 16);

// ------------------------------------------------------------------------------------------------------------ asking

class Problem extends Error {
  constructor(status, body, retry) {
    super(body.detail || "The answer cannot be read.");
    Object.assign(this, { status, code: body.code || "", hint: body.hint || "", retry });
  }
}

async function ask(path, options = {}) {
  const headers = { ...options.headers };
  const key = sessionStorage.getItem(KEY);
  if (key) headers.Authorization = "Bearer " + key;
  let answer;
  try {
    answer = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, { code: "unreachable", detail: "The service does not answer.", hint: "This page asks it again by itself." });
  }
  let body = {};
  try { body = await answer.json(); } catch (error) { if (error.name === "AbortError") throw error; }
  if (!answer.ok) throw new Problem(answer.status, body, Number(answer.headers.get("Retry-After")) || 0);
  return body;
}
const get = (route, query = {}) => {
  const written = new URLSearchParams(query).toString();
  return ask("/api/v1/" + route + (written ? "?" + written : ""));
};
const told = problem => make("div", { className: problem.status === 422 ? "dim" : "notice bad" },
  make("p", {}, written(problem.message)), problem.hint ? make("p", { className: "small" }, written(problem.hint)) : null);

const turns = new Map();
// Shows what `work` makes; what was asked for before and comes late is dropped.
async function show(id, work) {
  const here = place(id), turn = (turns.get(id) || 0) + 1;
  turns.set(id, turn);
  here.setAttribute("aria-busy", "true");
  let made;
  try { made = await work(); } catch (error) {
    if (error.name === "AbortError") return;
    if (!(error instanceof Problem)) throw error;
    if (stopped(error)) return;
    made = [told(error)];
    if (error.retry) setTimeout(() => turns.get(id) === turn && show(id, work), 1000 * error.retry);
  }
  if (turns.get(id) !== turn) return;
  here.replaceChildren(...[made].flat());
  here.removeAttribute("aria-busy");
}

// ---------------------------------------------------------------------------------------------- nothing to be shown

// A problem that concerns the whole page: a key is needed, or nothing is published.
function stopped(problem) {
  if (problem.status === 401 || (problem.status === 403 && problem.code === "scope_missing")) needKey(problem);
  else if (problem.status === 403) instead("This page cannot be shown here", problem);
  else if (problem.code === "snapshot_not_found") instead("Nothing is published yet", problem, "As soon as there is a snapshot, it is shown here.");
  else if (["redis_unavailable", "snapshot_damaged"].includes(problem.code)) instead("Nothing can be shown", problem, "This page looks again by itself.");
  else return false;
  return true;
}

function instead(title, problem, more) {
  const here = place("gate");
  if (!here.hidden && here.dataset.code === problem.code) return;
  here.dataset.code = problem.code;
  here.replaceChildren(make("h2", {}, title), make("p", {}, written(problem.message)),
    problem.hint ? make("p", { className: "dim" }, written(problem.hint)) : "", more ? make("p", { className: "dim small" }, more) : "");
  here.hidden = false;
  place("shop").hidden = true;
  return here;
}

function needKey(problem) {
  const wrong = problem.code !== "key_missing";
  const here = instead(wrong ? "The API key was refused" : "This service asks for an API key",
    { ...problem, message: wrong ? problem.message : "Whoever runs it makes one with `reco keys create`.", hint: "" });
  if (!here) return;
  const field = make("input", { type: "password", autocomplete: "off", required: true, placeholder: "reco_…" });
  const odd = make("p", { className: "notice bad", role: "alert", hidden: true }, "A key has no spaces, and no letters or signs but those of a plain keyboard: copy the whole of it.");
  const form = make("form", { onsubmit: event => {
    event.preventDefault();
    const given = field.value.trim();
    odd.hidden = /^[!-~]+$/.test(given);
    if (!odd.hidden) return field.focus(); // the browser could not send it
    sessionStorage.setItem(KEY, given);
    here.dataset.code = "";
    look(true);
  } }, labelled(field, "API key"), make("button", { className: "main" }, "Use it"));
  here.append(form, odd, make("p", { className: "dim small" }, "A key with the scope read shows the shop; read and ops also the data behind it. It stays in this tab, and goes to this service alone."));
  field.focus();
}

place("forget").onclick = () => { sessionStorage.removeItem(KEY); location.reload(); };

// ------------------------------------------------------------------------------------------------- what is asked for

const names = new Map();
const asked = () => {
  const given = new URLSearchParams(location.hash.slice(1));
  const amounts = given.getAll("n");
  return { item: given.get("item"), basket: given.getAll("basket").map((id, at) => ({ id, quantity: Number(amounts[at]) || 1 })) };
};
function go(change) {
  const { item, basket } = { ...asked(), ...change };
  const next = new URLSearchParams(item ? { item } : {});
  for (const one of basket) { next.append("basket", one.id); next.append("n", one.quantity); }
  const text = "#" + next;
  if (text !== location.hash) location.hash = text;
}
const open = id => { go({ item: id }); place("item").focus({ preventScroll: true }); place("item").scrollIntoView({ block: "nearest" }); };
function add(id) {
  const { basket } = asked();
  if (!basket.some(one => one.id === id)) go({ basket: [...basket, { id, quantity: 1 }] });
  say(`${names.get(id) || id} is in the basket`);
}
const named = one => { names.set(one.item_id, one.item_name); return one; };

// ------------------------------------------------------------------------------------------------------------- parts

const opener = one => make("button", { className: "link", type: "button", onclick: () => open(one.item_id) }, one.item_name);
function settle(button) {
  button.disabled = held(button.dataset.adds);
  if (button.className === "main") button.textContent = button.disabled ? "In the basket" : "Put into the basket";
}
const held = id => asked().basket.some(one => one.id === id);
function adder(one, wide) {
  const made = make("button", { className: wide ? "main" : "add", type: "button", onclick: () => add(one.item_id) }, "+");
  made.dataset.adds = one.item_id;
  settle(made);
  return wide ? made : labelled(made, `Put ${one.item_name} into the basket`);
}
function bar(value) {
  const inner = make("i");
  inner.style.width = 100 * Math.min(1, value) + "%";
  return make("span", { className: "bar", ariaHidden: "true" }, inner);
}
const STANDS_IN = { similar_name: "by a similar name", popular: "popular item", popular_category: "popular in its category" };
const tag = one => STANDS_IN[one.source] ? make("span", { className: "tag" }, STANDS_IN[one.source]) : null;
function why(one) {
  const facts = one.explain;
  if (!one.evidence || !facts || !facts.because_of_purchases) return one.reason;
  const about = names.get(facts.because_of) || facts.because_of;
  return `${count(one.evidence.pair_orders)} of ${orders(facts.because_of_purchases)} with ${about}; chance alone would make ${times(facts.expected_pair_orders)}`;
}
const cell = (label, text) => { const one = make("td", {}, text); one.dataset.label = label; return one; };
const listed = (one, figure, under, reason, aside) => make("li", {}, make("div", { className: "text" }, opener(one), aside || null, make("span", { className: "why" }, reason)),
  make("div", { className: "figure" }, figure, make("small", {}, under)), adder(one));

// -------------------------------------------------------------------------------------------------------------- item

async function itemPanel(id) {
  const route = encodeURIComponent(id);
  const [{ item }, similar] = await Promise.all([get("items/" + route), get("similar-items/" + route, { limit: ROWS, explain: true })]);
  named(item);
  similar.recommendations.forEach(named);
  document.title = item.item_name + " – what is bought together";
  const facts = [
    ["Orders with it", count(item.purchases), share(item.purchase_frequency) + " of all"],
    ["Rank", count(item.popularity_rank), "by orders"],
    item.units_per_order === null ? null : ["Units an order", item.units_per_order.toFixed(2), count(item.units) + " in all"],
    item.price === null ? null : ["Price", item.price, item.in_stock === null ? "" : item.in_stock ? "in stock" : "not in stock"],
    item.trend ? [`Last ${item.trend.days} days`, orders(item.trend.recent_orders), `${count(item.trend.before_orders)} in the ${item.trend.days} before`] : null,
    item.last_sold_at ? ["Last sold", day(item.last_sold_at).slice(0, 10), "first " + day(item.first_sold_at).slice(0, 10)] : null,
  ].filter(Boolean).map(([name, value, more]) => make("div", {}, make("dt", {}, name), make("dd", {}, value, " ", make("small", {}, more))));
  const head = make("div", { className: "head" }, make("div", {}, make("h2", {}, item.item_name), make("p", { className: "dim small" },
    [item.item_id === item.item_name ? "" : item.item_id, item.category || ""].filter(Boolean).join(" · "))),
    adder(item, true));
  const row = one => make("tr", {},
    make("td", { className: "text" }, opener(one), tag(one), make("span", { className: "why" }, why(one)), one.evidence ? bar(one.evidence.confidence) : null),
    cell("together", one.evidence ? count(one.evidence.pair_orders) : "–"),
    cell("share", one.evidence ? share(one.evidence.confidence) : "–"),
    cell("lift", one.evidence ? "× " + times(one.evidence.lift) : "–"),
    make("td", { className: "act" }, adder(one)));
  const column = (text, title) => make("th", { scope: "col", title }, text);
  const table = make("table", {}, make("caption", {}, make("h3", {}, "Sold with it")),
    make("thead", {}, make("tr", {}, make("th", { scope: "col", className: "text" }, "Item, and why"),
      column("Orders together", "Orders that hold both"), column("Share", `Share of the orders with ${item.item_name} that hold this too`),
      column("Lift", "How many times more often together than by chance"), labelled(make("th"), "Basket"))),
    make("tbody", {}, ...similar.recommendations.map(row)));
  const more = make("button", { type: "button", hidden: !similar.metadata.next_cursor, onclick: async () => {
    more.disabled = true;
    try {
      const page = await get("similar-items/" + route, { limit: ROWS, explain: true, cursor: similar.metadata.next_cursor });
      const made = page.recommendations.map(named).map(row);
      table.tBodies[0].append(...made);
      similar.metadata.next_cursor = page.metadata.next_cursor;
      more.hidden = !page.metadata.next_cursor;
      made[0]?.querySelector("button").focus({ preventScroll: true });
    } catch (error) { if (!(error instanceof Problem)) throw error; more.replaceWith(told(error)); }
    more.disabled = false;
  } }, `Show ${ROWS} more`);
  const rows = similar.recommendations;
  say(`${item.item_name}: ${count(item.neighbours)} items are sold with it`);
  const note = similar.metadata.note;
  return [head, make("dl", {}, ...facts), note ? make("p", { className: "dim" }, note) : "",
    ...(rows.length ? [table, more] : [make("p", { className: "dim" }, "No order holds it with another item.")])];
}

// ------------------------------------------------------------------------------------------------------------ basket

async function basketRows(basket) {
  place("empty").hidden = !basket.length;
  await Promise.all(basket.filter(one => !names.has(one.id)).map(async one => {
    try { named((await get("items/" + encodeURIComponent(one.id))).item); } catch (error) { if (!(error instanceof Problem) || error.status !== 404) throw error; }
  }));
  return basket.map(one => {
    const name = names.get(one.id) || one.id;
    const many = labelled(make("input", { type: "number", min: 1, max: 1000000, value: one.quantity, onchange: event => {
      const quantity = Math.min(1000000, Math.max(1, Math.round(Number(event.target.value)) || 1));
      go({ basket: asked().basket.map(held => held.id === one.id ? { ...held, quantity } : held) });
    } }), `How many of ${name}`);
    return make("li", {}, make("div", {}, opener({ item_id: one.id, item_name: name }), names.has(one.id) ? null : make("span", { className: "tag" }, "not known")), many,
      labelled(make("button", { className: "add", type: "button", onclick: () => { go({ basket: asked().basket.filter(held => held.id !== one.id) }); say(`${name} is out of the basket`); } }, "−"), `Take ${name} out of the basket`));
  });
}

async function goesWith(basket) {
  if (!basket.length) return [make("p", { className: "dim" }, "Nothing is in it. Put items into it to see what goes with all of them together.")];
  const body = await ask("/api/v1/basket-recommendations", { method: "POST", headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ items: basket.map(one => ({ item: one.id, quantity: one.quantity })), limit: 8, explain: true }) });
  body.recommendations.forEach(named);
  const rows = body.recommendations.map(one => listed(one, one.evidence ? count(one.evidence.pair_orders) : count(one.purchases),
    one.evidence ? `together, × ${times(one.evidence.lift)}` : "orders", why(one), tag(one)));
  return [make("h3", {}, "Goes with it"), body.metadata.note ? make("p", { className: "dim small" }, body.metadata.note) : "",
    rows.length ? make("ol", { className: "list" }, ...rows) : make("p", { className: "dim" }, "No order holds these with another item.")];
}
place("empty").onclick = () => { go({ basket: [] }); say("The basket is empty"); place("find").focus(); };

// ------------------------------------------------------------------------------------------------------------- lists

const ranked = (rows, empty) => rows.length ? [make("ol", { className: "list" }, ...rows)] : [make("p", { className: "dim" }, empty)];
async function popular() {
  const body = await get("popular-items", { limit: 8 });
  return ranked(body.recommendations.map(named).map(one => listed(one, count(one.purchases), "orders", share(one.purchase_frequency) + " of all orders")), "No item was sold.");
}
async function trending() {
  const body = await get("trending-items", { limit: 8 });
  return ranked(body.recommendations.map(named).map(one => listed(one, "× " + times(one.trend.growth), "growth",
    `${orders(one.trend.recent_orders)} in the newest ${one.trend.days} days, ${count(one.trend.before_orders)} in the ${one.trend.days} before`)), "No item grows beside the shop.");
}

// -------------------------------------------------------------------------------------------------- data and snapshot

const pairs = rows => make("dl", {}, ...rows.map(([name, value, more]) => make("div", {}, make("dt", {}, name), make("dd", {}, value, " ", make("small", {}, more || "")))));
let behind = null; // one question for both panels
async function dataBehind() {
  let body;
  try { body = await behind; } catch (error) {
    if (error.code === "scope_missing") return [make("p", { className: "dim" }, "Files and their lines are shown to a key with the scope ops.")];
    throw error;
  }
  if (!body.drops) return [make("p", { className: "dim" }, "The database does not answer: the files behind the snapshot cannot be told.")];
  const sum = name => body.drops.reduce((all, one) => all + (one[name] || 0), 0);
  const kinds = ["accepted", "excluded", "quarantined"].map(name => [name, sum("lines_" + name)]), read = sum("lines_read");
  const parts = kinds.map(([name, lines]) => { const one = make("span", { className: name }); one.style.width = (read ? 100 * lines / read : 0) + "%"; return one; });
  const legend = kinds.map(([name, lines]) => make("li", {}, make("span", { className: "key " + name }), `${count(lines)} ${name}${read ? ` (${share(lines / read)})` : ""}`));
  const files = [...body.drops].reverse().slice(0, 6).map(one => make("tr", {}, make("td", { className: "text" }, one.name, make("span", { className: "why" }, one.drop_key)),
    cell("lines", count(one.lines_read || 0)), cell("quarantined", count(one.lines_quarantined || 0)), cell("accepted", one.lines_read ? share(one.lines_accepted / one.lines_read) : "–")));
  const more = body.drops_total - files.length;
  return [make("p", {}, make("b", {}, count(read)), ` lines read from ${count(body.drops.length)} file${body.drops.length === 1 ? "" : "s"}, each accounted for${body.drops_cut ? `; of ${count(body.drops_total)} files, the first are counted here` : ""}.`),
    make("div", { className: "split", ariaHidden: "true" }, ...parts), make("ul", { className: "legend" }, ...legend),
    make("table", {}, make("thead", {}, make("tr", {}, make("th", { scope: "col", className: "text" }, "File, newest first"), ...["Lines", "Quarantined", "Accepted"].map(text => make("th", { scope: "col" }, text)))), make("tbody", {}, ...files)),
    more > 0 ? make("p", { className: "dim small" }, `and ${count(more)} more`) : ""];
}
async function snapshotPanel(health) {
  const rows = [["Orders", count(health.orders)], ["Items", count(health.items)]];
  let checks = [];
  try {
    const { manifest } = await behind;
    rows.push(["Pairs", count(manifest.counts.pairs), "bought together"]);
    if (manifest.last_ordered_at) rows.push(["Newest order", day(manifest.last_ordered_at), "oldest " + day(manifest.first_ordered_at).slice(0, 10)]);
    rows.push(["Run", manifest.run_id ? manifest.run_id.slice(0, 8) : "–", "of the pipeline"], ["Score", manifest.score_settings.score]);
    checks = manifest.gate.map(one => make("li", { className: one.passed ? "" : "failed" }, labelled(make("b", {}, one.passed ? "✓" : "✗"), one.passed ? "passed" : "not passed"), one.message));
  } catch (error) { if (!(error instanceof Problem)) throw error; }
  return [make("p", {}, make("code", {}, health.snapshot_id), ` published ${day(health.snapshot_published_at)} UTC`), pairs(rows),
    checks.length ? make("h3", {}, "What it passed before it was served") : "", make("ul", { className: "gate" }, ...checks)];
}

// ------------------------------------------------------------------------------------------------------------ search

const find = place("find"), found = place("found");
let active = -1, looking = null, later = 0;
function close() { found.hidden = true; find.setAttribute("aria-expanded", "false"); find.removeAttribute("aria-activedescendant"); active = -1; }
function point(to) {
  const options = [...found.querySelectorAll("[role=option]")];
  if (!options.length) return;
  active = (to + options.length) % options.length;
  options.forEach((one, at) => one.setAttribute("aria-selected", at === active));
  find.setAttribute("aria-activedescendant", options[active].id);
  options[active].scrollIntoView({ block: "nearest" });
}
function choose(one) { close(); find.value = ""; names.set(one.item_id, one.item_name); open(one.item_id); }
async function search() {
  const q = find.value.trim();
  if (looking) looking.abort();
  if (!q) return close();
  looking = new AbortController();
  let made;
  try {
    const body = await ask("/api/v1/search?" + new URLSearchParams({ q, limit: 8 }), { signal: looking.signal });
    made = body.items.map((one, at) => {
      const option = make("li", { id: "option" + at, onmousedown: event => { event.preventDefault(); choose(one); } },
        make("span", {}, one.item_name, one.item_id === one.item_name ? null : make("span", { className: "tag" }, one.item_id), one.match === "typo" ? make("span", { className: "tag" }, "one typo away") : null),
        make("span", { className: "dim small" }, orders(one.purchases)));
      option.setAttribute("role", "option");
      return Object.assign(option, { item: one });
    });
    say(`${count(body.metadata.total_found)} items fit`);
    if (!made.length) made = [make("li", { className: "none" }, `No item fits “${q}”.`)];
  } catch (error) {
    if (error.name === "AbortError") return;
    if (!(error instanceof Problem)) throw error;
    if (stopped(error)) return;
    made = [make("li", { className: "none" }, error.message)];
  }
  found.replaceChildren(...made);
  found.hidden = false;
  find.setAttribute("aria-expanded", "true");
  active = -1;
}
find.oninput = () => { clearTimeout(later); later = setTimeout(search, 120); };
find.onblur = close;
find.onkeydown = event => {
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    if (found.hidden) search(); else point(active < 0 && event.key === "ArrowUp" ? -1 : active + (event.key === "ArrowDown" ? 1 : -1));
  } else if (event.key === "Enter") {
    const options = [...found.querySelectorAll("[role=option]")];
    if (options.length && !found.hidden) { event.preventDefault(); choose(options[Math.max(0, active)].item); }
  } else if (event.key === "Escape") { if (found.hidden) find.value = ""; close(); }
};

// Arrow keys go from row to row, + puts the row into the basket, / goes to the search.
document.addEventListener("keydown", event => {
  const here = event.target;
  if (event.ctrlKey || event.metaKey || event.altKey || here.matches("input")) return;
  const row = here.closest("tr, li");
  if (event.key === "/") { event.preventDefault(); find.focus(); }
  else if (event.key === "+" && row) { const button = row.querySelector("button.add"); if (button) { event.preventDefault(); button.click(); } }
  else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && row) {
    const next = event.key === "ArrowDown" ? row.nextElementSibling : row.previousElementSibling;
    const button = next && next.querySelector("button.link");
    if (button) { event.preventDefault(); button.focus(); }
  }
});

// --------------------------------------------------------------------------------------------------------- the whole

let health = null, drawn = null;
function served() {
  const status = { healthy: "up to date", degraded: "degraded", unhealthy: "nothing is served" }[health.status];
  const here = place("served");
  here.className = "served " + health.status;
  here.replaceChildren(make("span", {}, make("span", { className: "dot" }), make("b", {}, status)),
    ...(health.snapshot_id ? [make("span", {}, "snapshot ", make("code", {}, health.snapshot_id)), make("span", {}, `${age(health.snapshot_age_seconds)} old`)] : []));
  const because = health.problem || (health.redis_connected ? health.snapshot_complete === false ? "snapshot_damaged" : "" : "redis_unavailable");
  notice(health.status === "degraded" && [make("p", {}, make("b", {}, "Degraded. "), "Answers come from a copy in memory", health.degraded_since ? ` since ${day(health.degraded_since)} UTC` : "", ": ",
    make("a", { href: "/problems#" + because }, because), ". They may not be the newest.")]);
}
function notice(parts, bad) {
  const here = place("notice"), text = parts ? parts.map(one => one.textContent).join() : "";
  if (here.dataset.text === text) return;
  here.dataset.text = text;
  here.replaceChildren(...(parts ? [make("div", { className: bad ? "notice bad" : "notice" }, ...parts)] : []));
}
let first = null; // what is shown while nothing was asked for
async function draw() {
  const { item, basket } = asked();
  const now = { item: item || first, basket: JSON.stringify(basket) };
  if (!drawn || drawn.item !== now.item) show("item", () => now.item ? itemPanel(now.item) : [make("p", { className: "dim" }, "No item was sold yet.")]);
  if (!drawn || drawn.basket !== now.basket) {
    show("rows", () => basketRows(basket));
    show("goes", () => goesWith(basket));
    for (const button of document.querySelectorAll("[data-adds]")) settle(button);
  }
  drawn = now;
}
async function all() {
  const body = await get("popular-items", { limit: 1 });
  first = body.recommendations.length ? body.recommendations[0].item_id : null;
  place("gate").hidden = true;
  place("shop").hidden = false;
  behind = get("snapshots/current");
  behind.catch(() => {}); // told where it is shown
  drawn = null;
  draw();
  show("popular", popular);
  show("trending", trending);
  show("quality", dataBehind);
  show("fresh", () => snapshotPanel(health));
}
let shown = null, next = 0;
async function look(anew = false) {
  clearTimeout(next);
  place("forget").hidden = !sessionStorage.getItem(KEY); // also where nothing else is shown: it is the way out
  let again = true;
  try {
    health = await ask("/health/");
    served();
    if (health.snapshot_id === null) throw new Problem(503, { code: health.problem || "snapshot_not_found",
      detail: health.problem === "snapshot_not_found" ? "The service runs, and has no snapshot to answer from." : "The service runs, and has no snapshot in memory.",
      hint: health.problem === "redis_unavailable" ? "Redis does not answer: see `reco doctor`." : "Publish one with `reco run`." });
    if (anew || shown !== health.snapshot_id) { await all(); shown = health.snapshot_id; }
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    shown = null;
    again = error.status !== 401 && error.status !== 403;
    if (stopped(error)) { if (!again || !health) place("served").replaceChildren(); notice(null); }
    else { place("served").className = "served unhealthy"; place("served").firstChild.replaceChildren(make("span", { className: "dot" }), make("b", {}, "no answer")); notice([make("p", {}, make("b", {}, error.message), " ", error.hint)], true); }
  }
  if (again) next = setTimeout(look, LOOK_MS);
}
addEventListener("hashchange", draw);
look();
