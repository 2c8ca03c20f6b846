"use strict";

function sort(header) {
  const row = header.parentElement;
  const column = [...row.cells].indexOf(header);
  const body = row.closest("table").tBodies[0];
  const opposite = { ascending: "descending", descending: "ascending", none: header.dataset.first };
  const order = opposite[header.getAttribute("aria-sort")];
  const value = (line) => line.cells[column].dataset.value;
  const compare = header.classList.contains("number")
    ? (a, b) => value(a) - value(b)
    : (a, b) => value(a).localeCompare(value(b), undefined, { numeric: true });
  const lines = [...body.rows];
  const known = lines.filter((line) => value(line) !== "");
  known.sort(order === "ascending" ? compare : (a, b) => compare(b, a));
  // A run without a value stays last, whichever way the others are sorted.
  body.append(...known, ...lines.filter((line) => value(line) === ""));
  for (const other of row.querySelectorAll("[aria-sort]")) other.setAttribute("aria-sort", "none");
  header.setAttribute("aria-sort", order);
}

function reveal() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target instanceof HTMLDetailsElement) {
    target.open = true;
    target.scrollIntoView();
  }
}

for (const button of document.querySelectorAll("th[aria-sort] button")) {
  button.addEventListener("click", () => sort(button.parentElement));
}
window.addEventListener("hashchange", reveal);
reveal();
