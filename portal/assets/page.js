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
  // Characters: a disk prints what code page 936 holds. The server decides (protocol/src/gbk.rs); this is the same set, named while
  // it is typed: what two bytes stand for, without places that GB 18030 filled later, those for private use, and the euro sign.
  let gbk;
  const later = (a, b) => (a === 0xa6 && ((b > 0xd8 && b < 0xe0) || b === 0xec || b === 0xed || b === 0xf3)) ||
    (a === 0xa8 && (b === 0xbc || b === 0xbf)) || (a === 0xa9 && b > 0x88 && b < 0x96) || (a === 0xfe && b > 0x4f);
  const printable = (c) => {
    if (c < "\u0080") return c >= " " && c < "\u007f";
    if (!gbk) {
      const pairs = [];
      for (let a = 0x81; a < 0xff; a += 1) {
        for (let b = 0x40; b < 0xff; b += 1) if (b !== 0x7f && !later(a, b)) pairs.push(a, b);
      }
      const all = new TextDecoder("gbk").decode(new Uint8Array(pairs));
      gbk = new Set([...all].filter((c) => c > "\u007f" && c !== "\u20ac" && c !== "\ufffd" && (c < "\ue000" || c > "\uf8ff")));
    }
    return gbk.has(c);
  };
  for (const field of document.querySelectorAll("[data-printable]")) {
    let hint = document.getElementById(field.getAttribute("aria-describedby"));
    if (!hint) {
      hint = document.createElement("span");
      hint.className = "hint";
      hint.id = "h-" + field.name;
      field.after(hint);
      field.setAttribute("aria-describedby", hint.id);
    }
    hint.setAttribute("aria-live", "polite");
    const plain = hint.textContent;
    field.addEventListener("input", () => {
      const wrong = [...new Set(field.value)].filter((c) => !printable(c));
      field.setAttribute("aria-invalid", String(wrong.length > 0));
      hint.textContent = wrong.length ? (hint.dataset.bad || field.form.dataset.bad) + " " + wrong.join(" ") : plain;
      hint.classList.toggle("bad", wrong.length > 0);
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
  // A title that is kept in WeChat, by the bridge that is built into its browser. Whatever goes wrong, the form can be filled in.
  const titles = one("[data-titles]");
  if (titles && form) {
    const [button, hint] = [titles.querySelector("button"), titles.querySelector(".hint")];
    const put = (name, value) => {
      const field = form.elements[name];
      field.value = value || "";
      field.dispatchEvent(new Event("input"));
      if (value) { const more = field.closest("details"); if (more) more.open = true; }
    };
    const picked = (info) => {
      const kind = info.type === "1" || info.type === 1 ? "person" : info.taxNumber ? "enterprise" : "institution";
      for (const one of kinds) one.checked = one.value === kind;
      renew();
      put("GMF_MC", info.title);
      put("GMF_NSRSBH", info.taxNumber);
      put("GMF_DZDH", [info.companyAddress, info.telephone].filter(Boolean).join(" "));
      put("GMF_YHZH", [info.bankName, info.bankAccount].filter(Boolean).join(" "));
    };
    const pick = async (bridge) => {
      const page = location.href.split("#")[0];
      const answer = await fetch("/wechat/signature?url=" + encodeURIComponent(page), { cache: "no-store" });
      if (!answer.ok) throw new Error("no signature");
      const sign = await answer.json();
      const proof = { appId: sign.appId, verifyAppId: sign.appId, verifySignType: "sha1", verifyTimestamp: sign.timestamp,
        verifyNonceStr: sign.nonceStr, verifySignature: sign.signature };
      const call = (name, more) => new Promise((done) => bridge.invoke(name, { ...more, ...proof }, done));
      const verified = await call("preVerifyJSAPI", { verifyJsApiList: ["chooseInvoiceTitle"] });
      if (!/:ok$/.test(verified.err_msg)) throw new Error(verified.err_msg);
      const chosen = await call("chooseInvoiceTitle", { scene: "1" });
      // The user may say no: nothing is changed then.
      if (/:cancel$/.test(chosen.err_msg)) return;
      if (!/:ok$/.test(chosen.err_msg)) throw new Error(chosen.err_msg);
      picked(JSON.parse(chosen.choose_invoice_title_info));
    };
    const offer = () => {
      titles.hidden = false;
      button.addEventListener("click", async () => {
        button.disabled = true;
        hint.textContent = "";
        try { await pick(window.WeixinJSBridge); } catch { hint.textContent = hint.dataset.failed; }
        button.disabled = false;
      });
    };
    if (window.WeixinJSBridge) offer(); else document.addEventListener("WeixinJSBridgeReady", offer, { once: true });
  }
  // Printing, and the kiosk, whose scanner types into a field that keeps the focus. The page clears itself.
  for (const button of document.querySelectorAll("[data-print]")) {
    button.hidden = false;
    button.addEventListener("click", () => window.print());
  }
  if (one("[data-print-now]")) window.print();
  // A file of the kiosk goes to the printer without leaving the page, which is cleared; without this the link opens the file.
  for (const link of document.querySelectorAll("[data-print-file]")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      one("iframe")?.remove();
      const frame = document.createElement("iframe");
      frame.className = "offstage";
      frame.title = link.textContent;
      frame.addEventListener("load", () => {
        try { frame.contentWindow.focus(); frame.contentWindow.print(); } catch { location.assign(link.href); }
        // The frame has the keyboard now; the next one who scans types into the field.
        window.focus();
        one("#scan")?.focus();
      });
      frame.src = link.href;
      document.body.append(frame);
    });
  }
  const scan = one("#scan");
  if (scan) addEventListener("click", () => scan.focus());
})();
