// What every module draws with: Preact's components, HTML in template strings (htm), values that tell of their changes
// (signals), and the few ways to show numbers and times.
import { h, render } from "./vendor/preact.js";
import { useEffect, useRef, useState } from "./vendor/hooks.js";
import { batch, computed, effect, signal } from "./vendor/signals-core.js";
import "./vendor/signals.js"; // lets components follow the signals that they read
import htm from "./vendor/htm.js";

export const html = htm.bind(h);
export { batch, computed, effect, render, signal, useEffect, useRef, useState };

// A number for people: a real minus sign, thin thousands, "–" for what is not defined.
export function number(value, decimals = 2) {
  if (typeof value !== "number" || !Number.isFinite(value)) return "–";
  const rounded = Number(value.toFixed(decimals)) || 0; // no "−0.00"
  return rounded.toLocaleString("en", { minimumFractionDigits: decimals, maximumFractionDigits: decimals })
    .replace("-", "−").replaceAll(",", "\u202f");
}

// "order_partially_filled" -> "Order partially filled", "pv" -> "PV"
export const words = (name) => {
  const text = String(name).replaceAll("_", " ");
  return text.length < 3 ? text.toUpperCase() : text.charAt(0).toUpperCase() + text.slice(1);
};

// A bound of a range: as many decimals as it has.
export const bound = (value) => number(value, Number.isInteger(value) ? 0 : 3);

export const shown = (value) =>
  value === true ? "on" : value === false ? "off" : value === null || value === undefined ? "–"
    : typeof value === "object" ? JSON.stringify(value) : String(value);

const zones = new Map();
function format(zone, options) {
  const key = zone + JSON.stringify(options);
  if (!zones.has(key)) {
    let made;
    try { made = new Intl.DateTimeFormat("en-GB", { ...options, timeZone: zone }); }
    catch { made = new Intl.DateTimeFormat("en-GB", options); }
    zones.set(key, made);
  }
  return zones.get(key);
}
const CLOCK = { hour: "2-digit", minute: "2-digit", second: "2-digit" };
const DAY = { weekday: "short", day: "numeric", month: "short" };

export const clock = (iso, zone) => (iso ? format(zone, CLOCK).format(new Date(iso)) : "–");
export const day = (iso, zone) => (iso ? format(zone, DAY).format(new Date(iso)) : "");

export function Card({ title, aside, children, className = "", id }) {
  return html`<section class="card ${className}" aria-labelledby=${`${id}-title`} id=${id}>
    <header class="card-head"><h2 id=${`${id}-title`}>${title}</h2>${aside}</header>
    ${children}
  </section>`;
}

// An icon's path, in a square of 24.
export const SUN = "M12 7a5 5 0 1 0 0 10 5 5 0 0 0 0-10M12 1v3M12 20v3M1 12h3M20 12h3M4.2 4.2l2.1 2.1M17.7 17.7l2.1 2.1M4.2 19.8l2.1-2.1M17.7 6.3l2.1-2.1";

export const Empty = ({ children }) => html`<p class="empty">${children}</p>`;
