// What the home is doing, in words; and what is wrong, nearest first.
import { at } from "./catalogue.js";
import { broker, meter, state, trouble, zone } from "./live.js";
import { link, go } from "./route.js";
import { clock, html } from "./ui.js";

export function Status() {
  const s = state.value;
  return html`<div class="status">
    <p class="badge" data-role="badge">${at(s, "derived.status_badge")}</p>
    <p class="line" data-role="status-line">${at(s, "derived.system_status")}</p>
    <${Alarms} alarms=${s.alarms ?? []} />
  </div>`;
}

const Alarms = ({ alarms }) => html`<div role="status" aria-label="Alarms">${alarms.length > 0 && html`<ul class="alarms">
  ${alarms.map(({ code, level, msg }) => html`<li key=${code} class="alarm ${level}"><b>${level}</b> ${msg}</li>`)}
</ul>`}</div>`;

const SAID = { // `since` is empty or " since 12:34:56"
  bridge: (since) => `The bridge does not answer${since}. Trying again …`,
  broker: (since) => `The broker is away${since}. The bridge waits for it; what you see is the last that is known.`,
  simulator: (since) => `The simulator is away${since}. What you see is the last it told.`,
  meter: (since) => `${meter.value} is offline${since}. Commands are still obeyed.`,
  nobody: () => "No meter has announced itself on this broker yet. Start a simulator: wattswap simulator",
  unknown: () => `There is no meter ${meter.value} here.`,
};

// A bar on top while something is away. Times of the wall clock, in the reader's own zone.
export function Trouble() {
  const found = trouble.value;
  return html`<div role="status" aria-live="polite">${found && html`<p class="trouble" data-trouble=${found.what}>
    ${SAID[found.what](found.since ? ` since ${clock(found.since)}` : "")}${" "}
    ${found.what === "unknown" && html`<a href=${link({ view: "community", meter: null })} onClick=${go}>All meters</a>`}
  </p>`}</div>`;
}

export function Connection() {
  const found = trouble.value;
  const text = found ? { nobody: "waiting", unknown: "unknown meter" }[found.what] ?? `${found.what} away` : state.value ? "live" : "connecting";
  return html`<span class="chip ${found ? "bad" : state.value ? "good" : ""}" title=${broker.value.address ?? ""} data-role="connection">${text}</span>`;
}

export function Time() {
  const s = state.value;
  if (!s) return null;
  return html`<time datetime=${s.timestamp} title="simulated time, ${s.tz}">${clock(s.timestamp, zone.value)}</time>`;
}
