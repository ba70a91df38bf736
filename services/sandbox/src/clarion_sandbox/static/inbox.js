// The page: it asks the sandbox what has changed, and shows it.

import { badge, clock, el, empty, outcomeChip, table, text } from "./dom.js";
import { showMessage } from "./reader.js";

const POLL_MS = 1500;
const get = (id) => document.getElementById(id);
const state = { channel: "", etag: "", overview: null, selected: null, shown: null, known: null };

async function poll() {
  if (document.hidden) return;
  const channel = state.channel;
  try {
    const query = channel ? `?channel=${channel}` : "";
    const response = await fetch(`/api/overview${query}`, { headers: state.etag ? { "If-None-Match": state.etag } : {}, cache: "no-store" });
    if (response.status !== 304) {
      if (!response.ok) throw new Error(response.statusText);
      const overview = await response.json();
      if (channel !== state.channel) return; // the reader chose another channel meanwhile
      state.etag = response.headers.get("ETag");
      state.overview = overview;
      render();
    }
    live(true);
  } catch {
    state.etag = "";
    live(false);
  }
}

function live(on) {
  const words = on ? "live" : "not reachable";
  if (get("live").textContent === words) return;
  get("live").className = `live ${on ? "on" : "off"}`;
  get("live").textContent = words;
}

function render() {
  const { overview } = state;
  counts(overview);
  renderMessages(overview.messages);
  renderCalls(overview);
  renderRefused(overview.rejections);
  renderFaults(overview.faults);
}

function counts(overview) {
  const loaded = overview.contracts === "loaded";
  get("contracts").className = `chip ${loaded ? "good" : "warn"}`;
  get("contracts").textContent = `contracts: ${overview.contracts}`;
  get("count-inbox").textContent = overview.kept || "";
  get("count-calls").textContent = overview.summary.calls || "";
  get("count-refused").textContent = overview.rejections.length || "";
  get("count-faults").textContent = overview.faults.length || "";
  document.title = overview.kept ? `(${overview.kept}) Clarion sandbox` : "Clarion sandbox";
}

function renderMessages(messages) {
  const list = get("messages");
  const focused = list.contains(document.activeElement) ? document.activeElement.dataset.id : null;
  const before = state.known;
  state.known = new Set(messages.map((message) => message.id));
  list.replaceChildren(...messages.map((message) => el("li", null, messageLine(message, before && !before.has(message.id)))));
  if (!messages.length) list.append(el("li", null, empty("Nothing has arrived yet", "Accept a notification and it shows up here.")));
  if (focused) list.querySelector(`[data-id="${CSS.escape(focused)}"]`)?.focus();
  renderReader();
}

function messageLine(message, isNew) {
  return el("button", {
    type: "button", class: isNew ? "message new" : "message", "data-id": message.id,
    "aria-current": message.id === state.selected ? "true" : null,
    onclick: () => { location.hash = `#/inbox/${message.id}`; },
  },
  badge(message.channel),
  el("span", null,
    el("span", { class: "line" }, el("span", { class: "to" }, message.to), el("time", { title: message.received_at }, clock(message.received_at))),
    el("div", { class: "title" }, text(message.title) || text(message.preview) || "(nothing to show)"),
    message.title && message.preview ? el("div", { class: "preview" }, message.preview) : null,
    message.outcome && message.outcome !== "accepted" ? outcomeChip(message) : null));
}

async function renderReader() {
  const reader = get("reader");
  get("view-inbox").classList.toggle("reading", Boolean(state.selected));
  const line = state.overview?.messages.find((message) => message.id === state.selected);
  const key = JSON.stringify([state.selected, line?.outcome]);
  if (key === state.shown) return;
  state.shown = key;
  if (!state.selected) {
    reader.replaceChildren(empty("No message selected", "Choose one to see it as its reader would."));
    return;
  }
  const response = await fetch(`/api/messages/${encodeURIComponent(state.selected)}`);
  if (key !== state.shown) return; // another message was chosen meanwhile
  if (response.ok) reader.replaceChildren(...showMessage(await response.json(), line, () => { location.hash = "#/inbox"; }));
  else reader.replaceChildren(empty("This message is gone", "The inbox was cleared, or it keeps newer ones."));
}

function renderCalls({ calls, summary }) {
  const twice = summary.accepted_more_than_once;
  const figures = [["Calls", summary.calls], ["Accepted", summary.accepted], ["Notifications", summary.notifications], ["Accepted more than once", twice]];
  get("figures").replaceChildren(...figures.map(([name, value], index) =>
    el("div", { class: index === 3 && twice ? "bad" : null }, el("dt", null, name), el("dd", null, text(value)))));
  const rows = calls.map((record) => el("tr", null,
    el("td", null, badge(record.channel)),
    el("td", null, record.to, el("div", { class: "mono" }, record.notification_id)),
    el("td", { class: "nowrap" }, text(record.calls)),
    el("td", { class: "wide" }, outcomeChip(record)),
    el("td", { class: "nowrap mono" }, record.entries.length ? clock(record.entries.at(-1).at) : "")));
  get("calls").replaceChildren(rows.length ? table(["", "Notification", "Calls", "Outcome", "Last call"], rows) : empty("No calls yet", "Every call to one of the three providers is counted here."));
}

function renderRefused(rejections) {
  get("refused").replaceChildren(...rejections.map((one) => el("div", { class: "refusal" },
    el("div", { class: "line" }, badge(one.channel), el("b", null, one.to || "(no recipient)"), el("span", { class: "chip bad" }, text(one.status)), el("span", { class: "push-right" }, clock(one.at))),
    one.violations.length ? el("ul", null, ...one.violations.map((violation) => el("li", null, violation))) : null,
    el("pre", null, one.answer))));
  if (!rejections.length) get("refused").append(empty("Nothing was refused", "Every request kept to the vendors' rules."));
}

function renderFaults(faults) {
  const rows = faults.map((rule) => el("tr", null,
    el("td", { class: "nowrap" }, rule.channel ?? "every channel"),
    el("td", { class: "mono" }, rule.to),
    el("td", { class: "mono wide" }, action(rule.action)),
    el("td", { class: "nowrap" }, often(rule)),
    el("td", { class: "nowrap" }, text(rule.fired))));
  get("faults").replaceChildren(rows.length ? table(["Channel", "To", "Action", "How often", "Acted"], rows) : empty("No rule is active", "All calls are answered as the vendors would."));
  get("clear-faults").hidden = !rows.length;
}

const action = ({ type, ...details }) =>
  [type, ...Object.entries(details).filter(([, value]) => value !== null && JSON.stringify(value) !== "{}").map(([name, value]) => `${name}=${typeof value === "object" ? JSON.stringify(value) : value}`)].join(" ");
const often = (rule) =>
  [rule.times ? `${rule.times} x${rule.per === "notification" ? " per notification" : ""}` : "always", rule.share < 1 ? `${Math.round(rule.share * 100)} % of calls` : ""].filter(Boolean).join(", ");

async function showAddresses() {
  const response = await fetch("/api/addresses");
  if (!response.ok) return;
  const rows = (await response.json()).map((one) => el("tr", null,
    ...["email", "whatsapp", "push"].map((channel) => el("td", { class: "mono nowrap" }, text(one[channel]))),
    el("td", { class: "wide" }, one.does)));
  get("addresses").replaceChildren(table(["Email", "WhatsApp", "Push token", "What happens"], rows));
}

function route() {
  const [, tab = "inbox", id = null] = location.hash.split("/");
  const known = ["inbox", "calls", "refused", "faults"].includes(tab) ? tab : "inbox";
  for (const name of ["inbox", "calls", "refused", "faults"]) get(`view-${name}`).hidden = name !== known;
  for (const link of document.querySelectorAll("[data-tab]")) mark(link, link.dataset.tab === known);
  state.selected = known === "inbox" && id ? decodeURIComponent(id) : null;
  for (const button of document.querySelectorAll(".message")) mark(button, button.dataset.id === state.selected);
  renderReader();
}

function mark(element, current) {
  if (current) element.setAttribute("aria-current", "true");
  else element.removeAttribute("aria-current");
}

async function remove(path) {
  await fetch(path, { method: "DELETE" });
  await poll();
}

get("channels").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  state.channel = button.dataset.channel;
  state.etag = "";
  state.known = null;
  for (const other of get("channels").children) other.setAttribute("aria-pressed", other === button);
  poll();
});
get("clear").addEventListener("click", () => { location.hash = "#/inbox"; remove("/api/messages"); });
get("clear-calls").addEventListener("click", () => remove("/api/calls"));
get("clear-faults").addEventListener("click", () => remove("/api/faults"));
addEventListener("hashchange", route);
document.addEventListener("visibilitychange", poll);
route();
showAddresses();
poll();
setInterval(poll, POLL_MS);
