// Where we are: /?meter=meter_00002&view=market, so that each meter and each view has a link. /#meter_00002 does too.
import { computed, signal } from "./ui.js";

const read = () => {
  const query = new URLSearchParams(location.search);
  const hash = decodeURIComponent(location.hash.slice(1));
  return { meter: query.get("meter") || (hash !== "main" ? hash : "") || null, view: query.get("view") || "home" };
};

const place = signal(read());
export const chosenMeter = computed(() => place.value.meter);
export const view = computed(() => place.value.view);

addEventListener("popstate", () => { place.value = read(); });
addEventListener("hashchange", () => { place.value = read(); });

export function link(change) {
  const wanted = { ...place.value, ...change };
  const query = new URLSearchParams();
  if (wanted.meter) query.set("meter", wanted.meter);
  if (wanted.view !== "home") query.set("view", wanted.view);
  return `?${query}`;
}

// Follow a link of ours without loading the page again; other clicks (new tab …) are the browser's.
export function go(event) {
  if (event.button || event.metaKey || event.ctrlKey || event.shiftKey) return;
  event.preventDefault();
  history.pushState(null, "", event.currentTarget.getAttribute("href"));
  place.value = read();
  scrollTo(0, 0);
}
