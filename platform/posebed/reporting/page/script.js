"use strict";

const STEP = 100;
const form = document.querySelector(".filters");
const words = new Intl.Collator(undefined, { numeric: true });
// Table to all its rows in their present order, and to how many of them are shown.
const states = new WeakMap();

// Parts that few readers reach are packed until one comes near, so that the page opens without building them.
let parts;

function unpacked() {
  const packed = Uint8Array.from(atob(document.getElementById("packed").textContent), (c) => c.charCodeAt(0));
  return new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
}

async function build(part) {
  parts ??= unpacked();
  const html = (await parts)[part.dataset.part];
  if (part.isConnected) part.outerHTML = html;
}

function state(table) {
  if (!states.has(table)) {
    const body = table.tBodies[0];
    const held = document.createElement("template");
    held.innerHTML = body.querySelector("script")?.textContent ?? "";
    const limit = held.content.childElementCount ? body.rows.length : Infinity;
    states.set(table, { lines: [...body.rows, ...held.content.children], limit });
  }
  return states.get(table);
}

// Puts the rows that fit the filter into the table; returns how many fit.
function show(table) {
  const { lines, limit } = state(table);
  const model = form?.elements.namedItem("model")?.value;
  const fit = lines.filter((line) => !model || !line.dataset.model || line.dataset.model === model);
  table.tBodies[0].replaceChildren(...fit.slice(0, limit));
  const more = table.parentElement.nextElementSibling;
  if (more?.classList.contains("more")) {
    more.firstElementChild.textContent = `${Math.min(limit, fit.length)} of ${fit.length} runs.`;
    more.querySelector("button").hidden = fit.length <= limit;
  }
  return fit.length;
}

function sort(header) {
  const row = header.parentElement;
  const table = row.closest("table");
  const column = [...row.cells].indexOf(header);
  const opposite = { ascending: "descending", descending: "ascending", none: header.dataset.first };
  const order = opposite[header.getAttribute("aria-sort")];
  const value = (line) => line.cells[column].dataset.value;
  const compare = header.classList.contains("number")
    ? (a, b) => value(a) - value(b)
    : (a, b) => words.compare(value(a), value(b));
  const now = state(table);
  const known = now.lines.filter((line) => value(line) !== "");
  known.sort(order === "ascending" ? compare : (a, b) => compare(b, a));
  // A run without a value stays last, whichever way the others are sorted.
  now.lines = [...known, ...now.lines.filter((line) => value(line) === "")];
  for (const other of row.querySelectorAll("[aria-sort]")) other.setAttribute("aria-sort", "none");
  header.setAttribute("aria-sort", order);
  show(table);
}

function filter() {
  const wanted = Object.fromEntries([...new FormData(form)].filter(([, value]) => value !== ""));
  const { model, ...facets } = wanted;
  for (const part of document.querySelectorAll("[data-models]")) {
    const other = Object.entries(facets).some(([name, value]) => part.dataset[name] !== value);
    part.hidden = other || (model !== undefined && !JSON.parse(part.dataset.models).includes(model));
  }
  for (const run of document.querySelectorAll("details.run")) {
    run.hidden = model !== undefined && run.dataset.model !== model;
  }
  const sections = [...document.querySelectorAll("section.protocol")];
  let runs = 0;
  let protocols = 0;
  for (const section of sections.filter((s) => !s.hidden)) {
    const table = section.querySelector("table.leaders");
    runs += model !== undefined || states.has(table) ? show(table) : Number(section.dataset.runs);
    protocols += 1;
  }
  form.querySelector("[role=status]").textContent = `${runs} runs under ${protocols} of ${sections.length} protocols.`;
}

// Opens the run, the line of a run, or the search that the address names.
async function reveal() {
  const name = decodeURIComponent(location.hash.slice(1));
  const run = document.getElementById(name.match(/^(?:run|search)-\d+/)?.[0]);
  if (!run) return;
  await Promise.all([...run.querySelectorAll(".later")].map(build));
  for (let outer = run; outer; outer = outer.parentElement) outer.hidden = false;
  run.open = true;
  for (const other of document.querySelectorAll(".asked")) other.classList.remove("asked");
  const asked = document.getElementById(name) ?? run;
  if (asked !== run) asked.classList.add("asked");
  run.querySelector("summary").focus({ preventScroll: true });
  asked.scrollIntoView({ block: asked === run ? "start" : "center" });
}

function clicked(event) {
  const button = event.target.closest("button");
  if (button?.closest("th[aria-sort]")) sort(button.parentElement);
  if (button?.closest(".more")) {
    const table = button.parentElement.previousElementSibling.querySelector("table");
    state(table).limit += STEP;
    show(table);
  }
  // A link to the address where the reader already is changes nothing that the browser would tell.
  if (event.target.closest("a")?.hash === location.hash) reveal();
}

const near = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) if (isIntersecting) build(target);
  },
  { rootMargin: "600px" },
);

for (const part of document.querySelectorAll(".later")) near.observe(part);
for (const button of document.querySelectorAll(".more button")) button.hidden = false;
document.addEventListener("click", clicked);
if (form) {
  form.hidden = false;
  form.addEventListener("change", filter);
  // A form has its old values until it has told of its reset.
  form.addEventListener("reset", () => setTimeout(filter));
}
window.addEventListener("hashchange", reveal);
reveal();
