"use strict";
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

// Tables: a click on a heading sorts, a second reverses, a third restores.
for (const table of all("table.sortable")) {
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
  for (const button of all("thead button", table)) {
    button.addEventListener("click", () => {
      const head = button.parentElement;
      const next = { none: "first", first: "second", second: "none" }[head.dataset.order || "none"];
      for (const other of head.parentElement.cells) {
        delete other.dataset.order;
        other.removeAttribute("aria-sort");
      }
      head.dataset.order = next;
      const rows = [...original];
      if (next !== "none") {
        const turn = next === "first" ? 1 : -1;
        rows.sort((a, b) => {
          const [x, y] = [value(a, head.cellIndex), value(b, head.cellIndex)];
          return x === null || y === null ? compare(x, y) : turn * compare(x, y);
        });
        const down = head.classList.contains("text") ? next === "second" : next === "first";
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
      }
      body.append(...rows);
    });
  }
}

// Choices: everything that says what it is about (data-student, data-method, data-task) is shown or put out.
const form = document.getElementById("choices");
const chosen = { student: null, method: null, task: null };  // null: everything
const panels = all(".panels > .panel");

function fits(element) {
  const { student, method, task } = element.dataset;
  if (chosen.student && student && !chosen.student.has(student)) return false;
  if (chosen.method && method && !chosen.method.has(method)) return false;
  return !(chosen.task && task && task !== chosen.task);
}

function show() {
  for (const element of all("[data-student], [data-method], [data-task]")) {
    if (!element.classList.contains("panel")) element.classList.toggle("out", !fits(element));
  }
  for (const panel of panels) {
    const { task, ...rest } = panel.dataset;
    const variants = panel.parentElement.dataset.tasks === "yes";
    const wanted = variants && chosen.task ? chosen.task : "";
    panel.hidden = (task || "") !== wanted || !fits({ dataset: rest }) || !panel.querySelector(".mark:not(.out)");
    if (!panel.hidden) settle(panel.querySelector("svg"));
  }
  for (const figure of all("figure")) {
    const some = all(".panel:not([hidden]) .mark:not(.out)", figure).length;
    figure.classList.toggle("nothing", Boolean(figure.querySelector(".panels")) && !some);
    for (const more of all("details.more", figure)) if (chosen.student) more.open = true;
  }
  for (const table of all("table.sortable")) {
    const rows = [...table.tBodies[0].rows];
    table.closest("section").classList.toggle("nothing", rows.every((row) => row.classList.contains("out")));
  }
  document.body.classList.toggle("one-task", Boolean(chosen.task));
  firstStops();
}

const SLANT = 50;

// Rows and columns that are left close ranks; every mark remembers where it was drawn.
function settle(svg) {
  const step = Number(svg.dataset.step || 0), pace = Number(svg.dataset.pace || 0);
  if (!step && !pace) return;
  const gone = (key, size) => {
    const out = new Map();
    for (const part of all(`[data-${key}]`, svg)) {
      const place = Number(part.dataset[key]);
      out.set(place, (out.get(place) ?? true) && part.classList.contains("out"));
    }
    const before = new Map();
    let count = 0;
    for (const place of [...out.keys()].sort((a, b) => a - b)) {
      before.set(place, count * size);
      if (out.get(place)) count += 1;
    }
    return { before, total: count * size };
  };
  const rows = gone("row", step), columns = gone("column", pace);
  const drawn = (part, name) => {
    const key = `drawn${name}`;
    if (part[key] === undefined) part[key] = part.getAttribute(name) || "";
    return part[key];
  };
  for (const part of all("[data-row], [data-column]", svg)) {
    const down = rows.before.get(Number(part.dataset.row)) || 0;
    const left = columns.before.get(Number(part.dataset.column)) || 0;
    const own = drawn(part, "transform");
    part.setAttribute("transform", down || left ? `translate(${-left},${-down}) ${own}` : own);
  }
  for (const line of all(".along-step", svg)) {
    const end = Number(drawn(line, "y2"));
    line.setAttribute("y2", String(end - Math.sign(end) * rows.total));
  }
  for (const axis of all(".below", svg)) {
    axis.setAttribute("transform", `translate(0,${-rows.total}) ${drawn(axis, "transform")}`);
  }
  const slant = columns.total ? SLANT : 0;  // names of columns lean to the right, past the last of them
  const width = Number(drawn(svg, "width")) - Math.max(columns.total - slant, 0), height = Number(drawn(svg, "height")) - rows.total;
  svg.setAttribute("width", String(width));
  svg.setAttribute("height", String(height));
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.closest(".panel").style.setProperty("--width", `${width}px`);
}

function readForm() {
  for (const key of ["student", "method"]) {
    const boxes = all(`input[name="${key}"]`, form);
    const on = boxes.filter((box) => box.checked).map((box) => box.value);
    chosen[key] = on.length === boxes.length || !boxes.length ? null : new Set(on);
    const told = form.querySelector(`[data-told="${key}"]`);
    if (told) told.textContent = chosen[key] ? `${on.length} of ${boxes.length}` : "all";
  }
  chosen.task = form.elements.task?.value || null;
}

function writeAddress() {
  const parts = new URLSearchParams();
  for (const key of ["student", "method"]) for (const value of chosen[key] || []) parts.append(key, value);
  for (const key of ["student", "method"]) if (chosen[key]?.size === 0) parts.append(key, "");
  if (chosen.task) parts.append("task", chosen.task);
  const text = parts.toString();
  history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
}

function readAddress() {
  const text = location.hash.slice(1);
  if (!text.includes("=")) return;
  const parts = new URLSearchParams(text);
  for (const key of ["student", "method"]) {
    const wanted = parts.getAll(key);
    for (const box of all(`input[name="${key}"]`, form)) box.checked = !wanted.length || wanted.includes(box.value);
  }
  const task = form.elements.task;
  if (task) task.value = [...task.options].some((one) => one.value === parts.get("task")) ? parts.get("task") : "";
}

function tell() {
  const rows = all("#cells tbody tr");
  const left = rows.filter((row) => !row.classList.contains("out")).length;
  const everything = !chosen.student && !chosen.method && !chosen.task;
  document.getElementById("shown").textContent = everything ? "" : `${left} of ${rows.length} cells shown`;
  document.getElementById("reset").disabled = everything;
}

function update() {
  readForm();
  show();
  tell();
}

if (form) {
  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", () => {
    update();
    writeAddress();
  });
  form.addEventListener("click", (event) => {
    const { all: wanted } = event.target.dataset;
    if (!wanted) return;
    for (const box of all("input[type=checkbox]", event.target.closest("fieldset"))) box.checked = wanted === "yes";
    update();
    writeAddress();
  });
  document.getElementById("reset").addEventListener("click", () => {
    for (const box of all("input[type=checkbox]", form)) box.checked = true;
    if (form.elements.task) form.elements.task.value = "";
    update();
    writeAddress();
  });
  addEventListener("hashchange", () => {
    readAddress();
    update();
  });
  document.addEventListener("click", (event) => {
    for (const menu of all("details[open]", form)) if (!menu.contains(event.target)) menu.open = false;
  });
  form.addEventListener("keydown", (event) => {
    const menu = event.target.closest("details[open]");
    if (event.key !== "Escape" || !menu) return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });
}

// Marks tell their numbers when pointed at or reached by keyboard: Tab enters a panel, arrows go on, Escape is quiet.
const tip = document.getElementById("tip");
const stops = (svg) => all(".mark[aria-label]", svg).filter((mark) => !mark.classList.contains("out"));

for (const svg of all(".panels svg")) {
  for (const title of all("title", svg)) {
    const mark = title.parentElement;
    mark.setAttribute("aria-label", title.textContent);
    mark.setAttribute("role", "img");
    mark.setAttribute("tabindex", "-1");
    title.remove();
  }
  svg.setAttribute("role", "group");
}

function firstStops() {
  for (const svg of all(".panels svg")) {
    const marks = stops(svg);
    for (const mark of all('.mark[tabindex="0"]', svg)) mark.setAttribute("tabindex", "-1");
    if (marks.length) marks[0].setAttribute("tabindex", "0");
  }
}

let pointed = null;

function quiet() {
  pointed = null;
  tip.hidden = true;
}

function point(mark) {
  pointed = mark;
  tip.textContent = mark.getAttribute("aria-label");
  tip.hidden = false;
  const box = mark.getBoundingClientRect(), own = tip.getBoundingClientRect();
  const wide = document.documentElement.clientWidth;
  const left = Math.min(Math.max(box.left + box.width / 2 - own.width / 2, 6), wide - own.width - 6);
  const above = box.top - own.height - 9;
  tip.style.left = `${left}px`;
  tip.style.top = `${above > 4 ? above : box.bottom + 9}px`;
}

const markOf = (event) => event.target.closest?.(".mark[aria-label]");
document.addEventListener("pointerover", (event) => {
  const mark = markOf(event);
  if (mark) point(mark);
  else quiet();
});
document.addEventListener("focusin", (event) => {
  const mark = markOf(event);
  if (mark) point(mark);
  else quiet();
});
addEventListener("scroll", () => {
  if (pointed) point(pointed);
}, { passive: true, capture: true });
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") quiet();
  const mark = markOf(event);
  const turn = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (!mark || !turn) return;
  event.preventDefault();
  const marks = stops(mark.closest("svg"));
  const next = marks[(marks.indexOf(mark) + turn + marks.length) % marks.length];
  next.focus({ preventScroll: false });
  point(next);
});

// Files: SVG and CSV are held compressed, which their links give where this script cannot unpack them.
const LARGEST = 12000;
const unpacks = typeof DecompressionStream === "function";

async function unpacked(link) {
  const bytes = Uint8Array.from(atob(link.href.split(",")[1]), (letter) => letter.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).blob();
}

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

for (const link of unpacks ? all("a[download$='.gz']") : []) {
  link.addEventListener("click", async (event) => {
    event.preventDefault();
    save(await unpacked(link), link.download.replace(/[.]gz$/, ""));
  });
}

// The browser paints the whole figure that the page holds as SVG.
for (const button of unpacks ? all("button.png") : []) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const source = button.parentElement.querySelector("a[data-kind='SVG']");
    const drawing = await (await unpacked(source)).text();
    const picture = new Image();
    picture.addEventListener("load", () => {
      const scale = Math.min(2, LARGEST / Math.max(picture.width, picture.height));
      const canvas = document.createElement("canvas");
      canvas.width = Math.round(picture.width * scale);
      canvas.height = Math.round(picture.height * scale);
      const ink = canvas.getContext("2d");
      ink.fillStyle = "#ffffff";
      ink.fillRect(0, 0, canvas.width, canvas.height);
      ink.drawImage(picture, 0, 0, canvas.width, canvas.height);
      canvas.toBlob((blob) => save(blob, source.download.replace(/svg[.]gz$/, "png")), "image/png");
    });
    picture.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(drawing)}`;
  });
}

addEventListener("beforeprint", () => {
  for (const part of all("main details")) part.open = true;
});
if (form) readAddress();
if (form) update();
else firstStops();
