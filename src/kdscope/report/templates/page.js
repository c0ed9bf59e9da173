"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const original = [...body.rows];
  const value = (row, column) => {
    const entry = row.cells[column];
    if (entry.dataset.sort !== undefined) return Number(entry.dataset.sort);
    return entry.textContent.trim() === "–" ? null : entry.textContent;
  };
  const compare = (a, b) => {
    if (a === null || b === null) return (a === null) - (b === null);
    if (typeof a === "number" && typeof b === "number") return b - a;
    return String(a).localeCompare(String(b));
  };
  for (const button of table.querySelectorAll("thead button")) {
    button.addEventListener("click", () => {
      const head = button.parentElement;
      const next = { none: "first", first: "second", second: "none" }[head.dataset.order || "none"];
      for (const other of head.parentElement.cells) delete other.dataset.order;
      head.dataset.order = next;
      const rows = [...original];
      if (next !== "none") {
        const turn = next === "first" ? 1 : -1;
        rows.sort((a, b) => {
          const [x, y] = [value(a, head.cellIndex), value(b, head.cellIndex)];
          return x === null || y === null ? compare(x, y) : turn * compare(x, y);
        });
      }
      body.append(...rows);
    });
  }
}
addEventListener("beforeprint", () => {
  for (const part of document.querySelectorAll("details")) part.open = true;
});
