// Elements from data. Text goes in as text nodes only: what a sender wrote never becomes markup.

export function el(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name === "onclick") element.addEventListener("click", value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const ICONS = {
  email: ["M3 6h18v12H3z", "M3.5 6.5 12 13l8.5-6.5"],
  whatsapp: ["M20.5 11.5a8.5 8.5 0 0 1-12.6 7.4L3.5 20.5l1.6-4.3a8.5 8.5 0 1 1 15.4-4.7z"],
  push: ["M6 16v-5a6 6 0 0 1 12 0v5l1.5 2h-15z", "M10 20.5a2.2 2.2 0 0 0 4 0"],
};

export function badge(channel) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  for (const shape of ICONS[channel] ?? []) {
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("d", shape);
    svg.append(path);
  }
  return el("span", { class: `badge ${channel}`, title: channel }, svg);
}

export const text = (value) => (value === null || value === undefined ? "" : String(value));
export const clock = (iso, seconds = true) =>
  new Date(iso).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", ...(seconds && { second: "2-digit" }) });
export const empty = (title, hint) => el("div", { class: "empty" }, el("b", null, title), hint);

export function table(headings, rows) {
  const head = el("tr", null, ...headings.map((heading) => el("th", null, heading)));
  return el("table", { class: "rows" }, el("thead", null, head), el("tbody", null, ...rows));
}

export function outcomeChip(record) {
  if (!record.outcome) return null;
  const twice = record.accepted > 1;
  const kind = twice ? "bad" : record.accepted === 0 ? "bad" : record.outcome === "accepted" ? "good" : "warn";
  return el("span", { class: `chip ${kind}`, title: record.outcome }, twice ? `accepted ${record.accepted} times: ${record.outcome}` : record.outcome);
}
