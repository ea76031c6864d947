// What is known of the chosen meter, kept up to date by the live stream. Signals only: whoever reads one follows it.
import { get, streamOf } from "./api.js";
import { loadCatalogue } from "./catalogue.js";
import { chosenMeter } from "./route.js";
import { batch, computed, effect, signal } from "./ui.js";

const EVENTS_KEPT = 100;

export const meters = signal(null); // ids of the first meters; null: not known yet
export const meter = computed(() => chosenMeter.value ?? meters.value?.[0] ?? null);

export const state = signal(null);
export const truth = signal(null); // what would be said without the faults that are injected
export const measured = signal(null); // what was said at the moment of `truth`
export const switches = signal(null);
export const scenario = signal(null);
export const availability = signal(null);
export const events = signal([]);
export const orders = signal(new Map());
export const trades = signal([]);
export const markets = signal({}); // by community
export const communities = signal({});
export const broker = signal({ connected: true });
export const bridge = signal({ open: false, since: null }); // our own connection to the bridge
export const unknown = signal(false); // there is no such meter

export const zone = computed(() => state.value?.tz);
export const community = computed(() => {
  const prefix = /^(.+)_\d{5,}$/.exec(meter.value ?? "")?.[1];
  return prefix === undefined || prefix === "meter" ? "main" : prefix;
});
export const market = computed(() => markets.value[community.value] ?? null);

// The one thing that is wrong, as seen from here: nearest first. null: all is well.
export const trouble = computed(() => {
  if (!bridge.value.open) return bridge.value.since && { what: "bridge", since: bridge.value.since };
  if (!broker.value.connected) return { what: "broker", since: broker.value.since };
  const ours = communities.value[community.value];
  if (ours?.availability === "offline") return { what: "simulator", since: ours.status?.published_at };
  if (meters.value && !meters.value.length && !chosenMeter.value) return { what: "nobody" };
  if (unknown.value) return { what: "unknown" };
  if (availability.value === "offline") return { what: "meter", since: state.value?.published_at };
  return null;
});

const take = {
  state: (told) => { state.value = told; pair({ said: told }); },
  truth: (told) => { pair({ real: told }); },
  switches: (told) => {
    switches.value = told.switches;
    if (!Object.keys(told.switches?.fault_inject ?? {}).length) { latest = {}; truth.value = null; }
  },
  scenario: (told) => { scenario.value = told.scenario; },
  availability: (told) => { availability.value = told.availability; unknown.value = false; },
  event: (told) => { events.value = [told, ...events.value].slice(0, EVENTS_KEPT); },
  order: (told) => { orders.value = new Map(orders.value).set(told.order_id, told); },
  trade: (told) => { trades.value = [told, ...trades.value].slice(0, EVENTS_KEPT); },
  market: (told) => { markets.value = { ...markets.value, [told.community]: told }; },
  community: (told) => {
    const before = communities.value[told.community]?.status?.meters;
    communities.value = { ...communities.value, [told.community]: told };
    if (before !== undefined && told.status?.meters !== before) findMeters(); // it has been started anew, with more or less
  },
  broker: (told) => { broker.value = told; },
};

// State and truth of one moment belong together and come one after the other.
let latest = {};

function pair(half) {
  latest = { ...latest, ...half };
  const { said, real } = latest;
  if (real && (!truth.value || said?.seq === real.seq)) {
    batch(() => { truth.value = real; measured.value = said ?? state.value; });
  }
}

let source;

function forget() {
  batch(() => {
    latest = {};
    state.value = truth.value = measured.value = switches.value = scenario.value = availability.value = null;
    events.value = []; trades.value = []; orders.value = new Map(); unknown.value = false;
  });
}

function listen(chosen) {
  source?.close();
  const stream = source = streamOf({ meter_id: chosen });
  stream.onopen = () => { bridge.value = { open: true, since: null }; unknown.value = false; askPast(chosen); };
  stream.onerror = () => {
    if (stream !== source) return;
    if (bridge.value.open || !bridge.value.since) bridge.value = { open: false, since: new Date().toISOString() };
    if (stream.readyState !== EventSource.CLOSED) return;
    // a browser gives up when the answer is no stream: then it is for us to find out why, and to try again
    findOut(chosen);
    setTimeout(() => stream === source && listen(chosen), 2000);
  };
  for (const [name, taken] of Object.entries(take)) {
    stream.addEventListener(name, (message) => stream === source && taken(JSON.parse(message.data)));
  }
}

// What happened before we came.
async function askPast(chosen) {
  const quietly = (asked) => asked.catch(() => ({}));
  const [past, traded] = await Promise.all([
    quietly(get("events", { limit: EVENTS_KEPT, meter_id: chosen })),
    quietly(get("market/trades", { limit: EVENTS_KEPT })),
  ]);
  if (chosen !== meter.value) return;
  batch(() => {
    if (past.events) events.value = past.events.reverse();
    if (traded.trades) trades.value = traded.trades.reverse();
  });
}

// Whether the bridge is there at all, and knows the meter.
async function findOut(chosen) {
  const problem = await get(`meter/${encodeURIComponent(chosen)}/snapshot`).then(() => ({}), (error) => error.problem);
  if (chosen !== meter.value || !problem) return;
  batch(() => {
    bridge.value = { open: true, since: null };
    unknown.value = problem.code === "unknown_meter";
  });
}

// Until a meter is known there is nothing to listen to: ask again and again.
async function findMeters() {
  try {
    const found = await get("meters", { limit: 1000 });
    const names = (found.meters ?? []).map((one) => one.meter_id);
    meters.value = names;
    bridge.value = bridge.value.since ? bridge.value : { open: true, since: null };
    if (names.length) return;
  } catch (error) {
    bridge.value = error.problem ? { open: true, since: null } : { open: false, since: bridge.value.since ?? new Date().toISOString() };
    if (error.problem?.code === "broker_away") broker.value = { ...broker.value, connected: false };
  }
  setTimeout(findMeters, 1000);
}

export async function start() {
  findMeters();
  for (;;) {
    try { await loadCatalogue(); break; }
    catch { await new Promise((resolve) => setTimeout(resolve, 1000)); }
  }
  effect(() => {
    const chosen = meter.value;
    if (chosen === null) return;
    forget();
    listen(chosen);
  });
}
