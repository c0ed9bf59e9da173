"use strict";
// Everything works without this file; with it, choices apply at once and keys lead from item to item.
const form = document.getElementById("controls");
if (form) {
  const remember = (id) => sessionStorage.setItem("kdscope-focus", id);
  // A closed list that is moved through by keys changes with every key: those wait for Enter or the button.
  let byKey = false;
  form.addEventListener("keydown", (event) => {
    if (!event.target.matches("select")) return;
    byKey = event.key !== "Enter";
    if (event.key === "Enter") { event.preventDefault(); remember(event.target.id); form.requestSubmit(); }
  });
  form.addEventListener("pointerdown", () => { byKey = false; });
  form.addEventListener("change", (event) => {
    if (!event.target.matches("select")) return;
    if (byKey) { document.getElementById("apply").classList.add("waiting"); return; }
    remember(event.target.id);
    form.requestSubmit();
  });
  // What was chosen and then left by the back button must not stay chosen.
  addEventListener("pageshow", (event) => { if (event.persisted) form.reset(); });

  const last = sessionStorage.getItem("kdscope-focus");
  sessionStorage.removeItem("kdscope-focus");
  if (last) document.getElementById(last)?.focus({ preventScroll: true });

  const lineup = document.getElementById("lineup");
  if (matchMedia("(max-width: 760px)").matches && sessionStorage.getItem("kdscope-lineup") !== "open") lineup.open = false;
  lineup.addEventListener("toggle", () => sessionStorage.setItem("kdscope-lineup", lineup.open ? "open" : "shut"));

  const list = document.getElementById("items");
  const current = list?.querySelector("[aria-current]");
  if (current) list.scrollTop = current.offsetTop - list.offsetTop - list.clientHeight / 2;

  const go = (id) => document.getElementById(id)?.click();
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea")) return;
    const link = event.target.closest?.("#items a");
    const step = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
    if (link && step) {
      event.preventDefault();
      link.parentElement[step]?.querySelector("a").focus();
    } else if (event.key === "j" || event.key === "ArrowRight") {
      go("next");
    } else if (event.key === "k" || event.key === "ArrowLeft") {
      go("previous");
    } else if (event.key === "/") {
      event.preventDefault();
      document.getElementById("search").focus();
    }
  });

  const link = document.getElementById("link");
  link?.addEventListener("click", async (event) => {
    if (!navigator.clipboard) return;
    event.preventDefault();
    history.replaceState(null, "", link.href);
    try {
      await navigator.clipboard.writeText(link.href);
      link.textContent = "link copied";
    } catch {
      link.textContent = "the address is the link";
    }
  });
}
