// The chart: the last minutes to a year, from the bridge's history and then from the live stream.
import { get } from "./api.js";
import { at, catalogue, quantity } from "./catalogue.js";
import { meter, state, zone } from "./live.js";
import { Chart } from "./chart.js";
import { Card, Empty, html, useEffect, useRef, useState } from "./ui.js";

const RANGES = [
  ["5 min", 300, "1s"], ["1 h", 3600, "10s"], ["1 d", 86400, "15m"], ["1 w", 604800, "15m"], ["1 mo", 2678400, "1h"], ["1 y", 31622400, "1d"],
];
const RESOLUTIONS = [["1s", 1], ["10s", 10], ["1m", 60], ["15m", 900], ["1h", 3600], ["1d", 86400]];
const POINTS = 700; // at most, in one picture
const POWERS = [
  ["pv.pv_power_kw", "sun"], ["loads.load_power_kw", "home"], ["battery.battery_power_kw", "battery"], ["derived.net_power_kw", "grid"],
];

const finestFor = (seconds) => RESOLUTIONS.find(([, one]) => seconds / one <= POINTS)?.[0] ?? "1d";
const seconds = (snapshot) => new Date(snapshot.timestamp) / 1000;

// Rows of a page of history as columns: times, then one per path.
const columns = (rows, paths) => [rows.map(seconds), ...paths.map((path) => rows.map((row) => plain(at(row, path))))];
const plain = (value) => (typeof value === "number" ? value : typeof value === "boolean" ? Number(value) : null);

export function History() {
  const [range, setRange] = useState(0), [zoom, setZoom] = useState(null), [what, setWhat] = useState("powers");
  const [past, setPast] = useState(null), [failed, setFailed] = useState("");
  const recent = useRef([]);
  const series = what === "powers" ? POWERS : [[what, "home"]];
  const paths = series.map(([path]) => path);
  const [, length, resolution] = RANGES[range];

  useEffect(() => { // the past, and anew for each range, zoom or meter
    let stale = false;
    const now = seconds(state.peek());
    const [start, end] = zoom ?? [now - length, now];
    setFailed("");
    get(`meter/${encodeURIComponent(meter.value)}/timeseries`, {
      start: new Date(start * 1000).toISOString(), end: new Date(end * 1000).toISOString(), fields: paths.join(),
      resolution: zoom ? finestFor(end - start) : resolution, limit: POINTS * 2,
    }).then((found) => { if (!stale) { setPast(columns(found.data ?? [], paths)); recent.current = []; } })
      .catch((error) => { if (!stale) { setPast(columns([], paths)); setFailed(error.message); } });
    return () => { stale = true; };
  }, [range, zoom, what]);

  const s = state.value, row = [seconds(s), ...paths.map((path) => plain(at(s, path)))], rows = recent.current;
  if (!rows.length || row[0] > rows.at(-1)[0]) rows.push(row);
  if (rows.length > POINTS) rows.splice(0, rows.length - POINTS);

  const data = past && !zoom ? joined(past, rows, row[0] - length) : past;
  const choices = catalogue.value.quantities.filter(({ kind }) => kind === "number" || kind === "integer" || kind === "bool");
  const aside = html`<label class="chooser"><span class="hidden">What to draw</span><select value=${what} onChange=${(event) => setWhat(event.target.value)}>
      <option value="powers">Power</option>
      ${choices.map(({ path, title, section }) => html`<option value=${path}>${title} (${section})</option>`)}
    </select></label>`;
  return html`<${Card} id="history" title="History" className="history" aside=${aside}>
    <div class="segments ranges" role="group" aria-label="Range">
      ${RANGES.map(([name], index) => html`<button type="button" aria-pressed=${!zoom && index === range}
        onClick=${() => { setZoom(null); setRange(index); }}>${name}</button>`)}
      ${zoom && html`<button type="button" onClick=${() => setZoom(null)}>Reset zoom</button>`}
    </div>
    ${data ? html`<${Chart} data=${data} span=${zoom ?? [row[0] - length, row[0]]} zone=${zone.value} onZoom=${setZoom} key=${what}
      series=${series.map(([path, colour]) => ({ label: quantity(path).title, unit: quantity(path).unit ?? "", colour }))} />`
      : html`<div class="chart"><${Empty}>Loading …<//></div>`}
    <p class="about">${failed || (zoom ? "Zoomed in." : "Drag over the chart to zoom in.")} Simulated time, ${zone.value}.
      ${what === "powers" ? " Battery: + discharge, − charge. Net: + export, − import." : ` ${quantity(what).meaning}.`}</p>
  <//>`;
}

// The past with what came live after it, cut to the range.
function joined(past, rows, from) {
  const until = past[0].at(-1) ?? -Infinity;
  const live = rows.filter(([time]) => time > until);
  const all = past.map((column, index) => column.concat(live.map((row) => row[index])));
  const cut = all[0].findIndex((time) => time >= from);
  return cut > 0 ? all.map((column) => column.slice(cut)) : all;
}
