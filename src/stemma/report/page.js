"use strict";
// The page reads without this script; it adds sorting, choosing and highlighting.
const all = (q, at = document) => [...at.querySelectorAll(q)];

for (const table of all("table.sortable")) {
  for (const button of all("thead button", table)) {
    button.addEventListener("click", () => {
      const head = button.closest("th"), column = head.cellIndex, body = table.tBodies[0];
      const up = head.getAttribute("aria-sort") === "descending";
      all("th", table.tHead).forEach(h => h.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const key = row => { const v = row.cells[column].dataset.sort; return v === undefined ? row.cells[column].textContent : v === "" ? NaN : Number(v); };
      const rows = [...body.rows].sort((a, b) => {
        const x = key(a), y = key(b);
        if (typeof x === "string") return (up ? 1 : -1) * x.localeCompare(y);
        if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
        return up ? x - y : y - x;
      });
      body.append(...rows);
    });
  }
}

for (const choice of all("select[data-choice]")) {
  const show = () => all(`[data-panel-of="${choice.dataset.choice}"]`).forEach(p => { p.hidden = p.dataset.panel !== choice.value; });
  choice.addEventListener("change", show);
  choice.hidden = false;
  show();
}

for (const item of all(".legend [data-of]")) {
  const within = item.closest("section");
  const light = on => {
    within.toggleAttribute("data-dim", on);
    all(`[data-system="${item.dataset.of}"]`, within).forEach(e => e.classList.toggle("lit", on));
  };
  item.addEventListener("pointerenter", () => light(true));
  item.addEventListener("pointerleave", () => light(false));
}
