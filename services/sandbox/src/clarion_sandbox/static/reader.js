// One message as its reader would see it.

import { clock, el, outcomeChip, table, text } from "./dom.js";

export function showMessage(message, line, onBack) {
  const views = { email, whatsapp, push }[message.channel](message);
  const stage = el("div", { class: "stage" });
  const buttons = views.map(([name, build]) =>
    el("button", { type: "button", onclick: (event) => choose(event.currentTarget, build) }, name));
  function choose(button, build) {
    for (const other of buttons) other.setAttribute("aria-pressed", other === button);
    stage.replaceChildren(build());
  }
  choose(buttons[0], views[0][1]);
  return [
    el("header", null,
      el("button", { type: "button", class: "quiet back", onclick: onBack }, "Back to the inbox"),
      el("h1", null, heading(message)),
      people(message)),
    el("div", { class: "switch", role: "group", "aria-label": "View" }, ...buttons),
    stage,
    receipts(message, line),
    reply(message, line),
    facts(message, line),
  ].filter(Boolean);
}

const ACTS = {
  deliver: "Deliver", bounce: "Bounce", read: "Read", report_spam: "Report spam", unsubscribe: "Unsubscribe",
};

// What the provider tells the gateway next, over the same road as the real one's receipts.
function receipts(message, line) {
  const acts = Object.keys(ACTS).filter((act) => line?.acts?.includes(act));
  if (!acts.length) return null;
  const said = el("span", { class: "said", role: "status" });
  const buttons = acts.map((act) =>
    el("button", { type: "button", class: "quiet", onclick: () => tell(message, act, said) }, ACTS[act]));
  return el("div", { class: "receipts", role: "group", "aria-label": "Receipts" }, el("b", null, "Tell the gateway"), ...buttons, said);
}

async function tell(message, act, said) {
  said.textContent = "telling it";
  try {
    const response = await fetch(`/api/messages/${encodeURIComponent(message.id)}/receipts`, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ tell: act }),
    });
    const { status, error, detail } = await response.json();
    said.textContent = response.ok ? (status ? `${ACTS[act]}: the gateway answered ${status}` : `${ACTS[act]}: ${error}`) : detail;
  } catch {
    said.textContent = "the sandbox did not answer";
  }
}

// What the reader writes back: it opens the 24 hours for free text, and STOP is heard.
function reply(message, line) {
  if (message.channel !== "whatsapp" || !line?.acts?.length) return null;
  const said = el("span", { class: "said", role: "status" });
  const words = el("input", { type: "text", value: "Thanks!", maxlength: "1600", "aria-label": "What the reader writes" });
  const send = el("button", { type: "button", class: "quiet", onclick: () => write(message, words.value, said) }, "Reply");
  return el("div", { class: "receipts", role: "group", "aria-label": "Reply" }, el("b", null, "Write back"), words, send, said);
}

async function write(message, words, said) {
  said.textContent = "sending it";
  try {
    const response = await fetch(`/api/messages/${encodeURIComponent(message.id)}/replies`, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ text: words }),
    });
    const { status, error, detail } = await response.json();
    said.textContent = response.ok ? (status ? `the gateway answered ${status}` : error) : detail;
  } catch {
    said.textContent = "the sandbox did not answer";
  }
}

const heading = (message) =>
  text(message.subject) || text(message.title) ||
  { email: "(no subject)", whatsapp: "WhatsApp message", push: "Data message" }[message.channel];

function people(message) {
  const rows = [];
  if (message.from) rows.push(["From", address(message.from)]);
  rows.push(["To", message.to]);
  if (message.reply_to) rows.push(["Reply to", address(message.reply_to)]);
  if (message.attachments?.length) rows.push(["Attached", message.attachments.map((one) => text(one.filename)).join(", ")]);
  return el("dl", { class: "people" }, ...pairs(rows));
}

const address = (one) =>
  typeof one === "string" ? one : one.name ? `${one.name} <${one.email}>` : text(one.email);
const pairs = (rows) => rows.flatMap(([name, value]) => [el("dt", null, name), el("dd", null, text(value))]);

function email(message) {
  const html = () => el("iframe", { sandbox: "", src: `/messages/${encodeURIComponent(message.id)}/html`, title: "The email's HTML part" });
  const views = [];
  if (message.html) views.push(["HTML", html]);
  if (message.text) views.push(["Text", () => el("pre", null, message.text)]);
  return [...views, raw(message)];
}

function whatsapp(message) {
  const variables = Object.entries(message.content_variables ?? {});
  const bubble = el("div", { class: "bubble" },
    message.content_sid ? el("span", { class: "template" }, `Template ${message.content_sid}`) : null,
    ...message.media_url.map((url) => el("div", { class: "text" }, url)),
    message.body ? el("div", { class: "text" }, message.body) : null,
    variables.length ? el("table", null, ...variables.map(([name, value]) =>
      el("tr", null, el("td", null, `{{${name}}}`), el("td", null, text(value))))) : null,
    el("div", { class: "stamp" }, clock(message.received_at, false)));
  const day = el("div", { class: "day" }, el("span", null, new Date(message.received_at).toLocaleDateString()));
  return [["Chat", () => el("div", { class: "chat" }, el("div", { class: "thread" }, day, bubble))], raw(message)];
}

function push(message) {
  const silent = !message.title && !message.body;
  const card = () => el("div", { class: "phone" },
    el("div", { class: "clock" }, el("b", null, clock(message.received_at, false)), new Date(message.received_at).toLocaleDateString([], { weekday: "long", day: "numeric", month: "long" })),
    el("div", { class: "card" },
      el("div", { class: "app" }, el("span", null, "Your app"), el("span", null, "now")),
      silent ? el("div", { class: "silent" }, "A data message: the app gets it, nothing is shown.") : null,
      message.title ? el("div", { class: "title" }, text(message.title)) : null,
      message.body ? el("div", { class: "body" }, text(message.body)) : null));
  const data = Object.entries(message.data ?? {}).map(([name, value]) =>
    el("tr", null, el("td", { class: "mono nowrap" }, name), el("td", { class: "mono" }, text(value))));
  const options = ["android", "apns", "webpush"].filter((name) => message[name]);
  return [
    ["Notification", card],
    ["Data", () => data.length ? table(["Key", "Value"], data) : el("pre", null, "No data.")],
    ...(options.length ? [["Options", () => el("pre", null, JSON.stringify(Object.fromEntries(options.map((name) => [name, message[name]])), null, 2))]] : []),
    raw(message),
  ];
}

function raw(message) {
  const request = message.request;
  const headers = Object.entries(request.headers).map(([name, value]) => `${name}: ${value}`).join("\n");
  return ["Request", () => el("pre", null, `${request.method} ${request.path}\n${headers}\n\n${pretty(request.body)}`)];
}

function pretty(body) {
  try {
    return JSON.stringify(JSON.parse(body), null, 2);
  } catch {
    return body.split("&").map((pair) => decode(pair)).join("\n");
  }
}

function decode(pair) {
  try {
    return decodeURIComponent(pair.replaceAll("+", " "));
  } catch {
    return pair;
  }
}

function facts(message, line) {
  const rows = [
    ["Notification", message.notification_id ?? "not told"],
    ["Attempt", message.attempt ?? "not told"],
    ["Provider's id", message.provider_message_id],
    ["Received", message.received_at],
  ];
  if (message.categories?.length) rows.push(["Categories", message.categories.join(", ")]);
  const list = el("dl", null, ...pairs(rows));
  const chip = line ? outcomeChip(line) : null;
  if (chip) list.append(el("dt", null, "Calls"), el("dd", null, chip));
  return el("footer", { class: "facts" }, list);
}
