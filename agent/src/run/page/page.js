// Asks for the status every two seconds. Everything that comes is text, and is shown as text.
"use strict";
const show = (id, text) => { document.getElementById(id).textContent = text; };

function state(disk) {
  if (disk.running) return "开票中 · works on " + disk.running;
  if (disk.trouble) return disk.trouble;
  if (disk.epoch) return "就绪 · ready";
  return disk.report ? "等待服务器授权 · waits for the broker's grant" : "正在打开 · is being opened";
}

function row(disk) {
  const report = disk.report || {};
  const stock = (report.stock || []).map((one) => one.kind + ": " + one.remaining).join(", ");
  const line = document.createElement("tr");
  for (const text of [disk.port, report.disk, report.taxpayer_name || report.taxpayer, stock, state(disk)]) {
    line.appendChild(document.createElement("td")).textContent = text || "";
  }
  return line;
}

async function look() {
  try {
    const answer = await fetch("/status.json", { cache: "no-store" });
    const status = await answer.json();
    const link = status.link;
    show("trouble", "");
    show("agent", status.agent + (status.name ? " (" + status.name + ")" : ""));
    show("version", status.version);
    show("broker", status.broker);
    show("link", link.up ? "已连接 · up " + link.up_s + " s" : "未连接 · down: " + (link.trouble || "…"));
    show("outbox", String(status.outbox));
    document.getElementById("disks").replaceChildren(...status.disks.map(row));
  } catch (error) {
    show("trouble", "助手没有应答 · the agent does not answer");
  }
  setTimeout(look, 2000);
}
look();
