// What there is to see and to set, as the bridge tells it: labels, units, ranges and forms are all walked from here.
import { get } from "./api.js";
import { number, shown, signal } from "./ui.js";

export const catalogue = signal(null);

let byPath = new Map();

export async function loadCatalogue() {
  const found = await get("catalogue");
  byPath = new Map(found.quantities.map((quantity) => [quantity.path, quantity]));
  catalogue.value = found;
}

export const quantity = (path) => byPath.get(path) ?? { path, title: path, kind: "number", decimals: 2 };

// The value at a dotted path of a snapshot.
export const at = (snapshot, path) => path.split(".").reduce((inner, name) => inner?.[name], snapshot);

// A quantity's value as text, and its unit; screens need no milliwatt-hours.
export function display(path, snapshot, decimals) {
  const { kind, unit, decimals: declared } = quantity(path);
  const value = at(snapshot, path);
  if (kind === "number" || kind === "integer") {
    return { text: number(value, decimals ?? Math.min(declared, 3)), unit: unit ?? "" };
  }
  return { text: kind === "bool" && typeof value === "boolean" ? (value ? "yes" : "no") : shown(value), unit: "" };
}

// The topic of a channel of a meter: "wattswap/meter/demo_meter/state".
export const topic = (name, names) => {
  const channel = catalogue.value.channels.find((one) => one.name === name);
  return channel.address.replace(/\{(\w+)\}/g, (_, key) => names[key]);
};
