// What happened, newest first.
import { events, zone } from "./live.js";
import { clock, day, Empty, html, words } from "./ui.js";

const ABOUT = ["switch", "scenario", "order_id", "code", "fault"];

function about(event) {
  const name = ABOUT.find((key) => event[key] !== undefined);
  const value = event.value === undefined ? "" : ` = ${typeof event.value === "object" ? JSON.stringify(event.value) : event.value}`;
  return name ? `${event[name]}${value}` : event.message ?? "";
}

export function Events() {
  if (!events.value.length) return html`<${Empty}>Nothing has happened yet.<//>`;
  return html`<div class="scroll events" tabindex="0" role="group" aria-label="Events, newest first"><ol>${events.value.map((event) => html`<li>
    <time datetime=${event.timestamp} title=${day(event.timestamp, zone.value)}>${clock(event.timestamp, zone.value)}</time>
    <span><b>${words(event.event_type)}</b> ${about(event)}</span>
  </li>`)}</ol></div>`;
}
