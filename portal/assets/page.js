// Comfort on top of pages that work without it: the state is renewed, characters are checked while typing, a title is kept on
// this device if its owner wants that. Nothing leaves the device but the form.
"use strict";
(() => {
  const one = (selector) => document.querySelector(selector);
  // The state: told by the server, asked for where that is not possible.
  const live = one("[data-live]");
  if (live) {
    const seen = live.dataset.state;
    const again = () => { if (!one("details[open]")) location.reload(); };
    const asked = async () => {
      try {
        const answer = await fetch(live.dataset.live + "/state", { cache: "no-store" });
        if (answer.ok && (await answer.text()) !== seen) again();
      } catch { /* The next question may be answered. */ }
    };
    if (window.EventSource) {
      const source = new EventSource(live.dataset.live + "/events");
      source.addEventListener("state", (event) => { if (event.data !== seen) { source.close(); again(); } });
    }
    setInterval(asked, 15000);
  }
  // Characters: GBK is decided by the server; what it certainly cannot hold is named at once.
  for (const field of document.querySelectorAll("[data-printable]")) {
    const hint = document.getElementById(field.getAttribute("aria-describedby"));
    const plain = hint ? hint.textContent : "";
    field.addEventListener("input", () => {
      const wrong = [...field.value].filter((c) => /[\p{C}\p{Emoji_Presentation}]/u.test(c) || c.codePointAt(0) > 0xffff);
      field.setAttribute("aria-invalid", String(wrong.length > 0));
      if (hint) {
        hint.textContent = wrong.length ? hint.dataset.bad + " " + [...new Set(wrong)].join(" ") : plain;
        hint.classList.toggle("bad", wrong.length > 0);
      }
    });
  }
  // The kind of buyer decides which number is needed.
  const kinds = document.querySelectorAll("input[name=kind]");
  const number = one("input[name=GMF_NSRSBH]");
  const renew = () => {
    const kind = one("input[name=kind]:checked");
    if (number && kind) number.required = kind.value === "enterprise";
  };
  for (const kind of kinds) kind.addEventListener("change", renew);
  renew();
  // The title, on this device alone.
  const form = one("form[data-memory]");
  const keep = one("#keep");
  if (form && keep) {
    const names = ["GMF_MC", "GMF_NSRSBH", "GMF_DZDH", "GMF_YHZH"];
    keep.closest("label").hidden = false;
    try {
      const kept = JSON.parse(localStorage.getItem("title") || "null");
      if (kept) {
        keep.checked = true;
        for (const name of names) if (!form.elements[name].value) form.elements[name].value = kept[name] || "";
      }
      form.addEventListener("submit", () => {
        if (!keep.checked) return localStorage.removeItem("title");
        localStorage.setItem("title", JSON.stringify(Object.fromEntries(names.map((name) => [name, form.elements[name].value]))));
      });
    } catch { /* No storage here: nothing is kept. */ }
  }
  // The kiosk: back to the empty field when nobody looks any more, and printing.
  for (const button of document.querySelectorAll("[data-print]")) {
    button.hidden = false;
    button.addEventListener("click", () => window.print());
  }
  if (one("[data-print-now]")) window.print();
  const clears = one("[data-clears]");
  if (clears) setTimeout(() => location.assign(clears.dataset.clears), 60000);
  const scan = one("#scan");
  if (scan) addEventListener("click", () => scan.focus());
})();
