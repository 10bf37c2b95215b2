"use strict";
// Tables sort by the column whose head is pressed: numbers by their exact values, what is empty last.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    heads.forEach(other => other.setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const body = table.tBodies[0];
    const rows = [...body.rows].map(row => [row, key(row.cells[column])]);
    rows.sort(([, a], [, b]) => a === null || b === null ? (a === null) - (b === null)
      : (down ? -1 : 1) * (typeof a === "number" && typeof b === "number" ? a - b
        : String(a).localeCompare(String(b), undefined, {numeric: true})));
    body.append(...rows.map(([row]) => row));
  }));
}
function key(cell) {
  if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
  return cell.textContent === "" ? null : cell.textContent;
}

// A mark says its numbers when it is pointed at or has the focus; arrow keys go from mark to mark.
const tip = document.getElementById("tip");
function tell(mark) {
  tip.textContent = mark.getAttribute("aria-label").replace(/; /g, "\n").replace(": ", "\n");
  tip.hidden = false;
  const box = mark.getBoundingClientRect(), own = tip.getBoundingClientRect();
  const above = box.top - own.height - 8;
  tip.style.top = `${Math.max(4, above < 4 ? Math.min(box.bottom + 8, innerHeight - own.height - 4) : above)}px`;
  const wanted = box.width > 60 ? box.left + box.width / 3 : box.left + box.width / 2 - own.width / 2;
  tip.style.left = `${Math.max(4, Math.min(wanted, innerWidth - own.width - 4))}px`;
}
function hush() { tip.hidden = true; }
addEventListener("scroll", hush, {passive: true});
for (const figure of document.querySelectorAll("figure svg")) {
  const marks = [...figure.querySelectorAll(".mark")];
  figure.querySelector("title").remove();
  if (figure.ariaLabel === null) figure.setAttribute("aria-label", figure.closest("figure").querySelector("figcaption").textContent);
  marks.forEach((mark, place) => {
    mark.querySelector("title").remove();
    mark.setAttribute("tabindex", place ? "-1" : "0");
    mark.addEventListener("pointerenter", () => tell(mark));
    mark.addEventListener("pointerleave", hush);
    mark.addEventListener("focus", () => tell(mark));
    mark.addEventListener("blur", hush);
    mark.addEventListener("keydown", event => {
      const step = {ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1}[event.key];
      const next = event.key === "Home" ? marks[0] : event.key === "End" ? marks.at(-1) : marks[place + step];
      if (event.key === "Escape") hush();
      if (!next) return;
      event.preventDefault();
      mark.setAttribute("tabindex", "-1");
      next.setAttribute("tabindex", "0");
      next.focus();
    });
  });
}
