// All meters: sums, and a tile for each. Only the tiles that can be seen exist, so that thousands cost what dozens do.
import { get } from "./api.js";
import { quantity } from "./catalogue.js";
import { meter } from "./live.js";
import { go, link } from "./route.js";
import { Card, Empty, html, number, signal, useEffect, useRef, useState } from "./ui.js";

const FIELDS = {
  pv: "pv.pv_power_kw", load: "loads.load_power_kw", battery: "battery.battery_power_kw", ev: "ev.power_kw",
  net: "derived.net_power_kw", import: "grid.grid_import_kw", export: "grid.grid_export_kw", soc: "battery.soc_pct", badge: "derived.status_badge",
};
const EVERY_MS = 1000, LARGE = 2000; // of a large fleet a look takes longer, and comes less often
const LAYOUTS = { // width null: one in a row
  tiles: { title: "Tiles", width: 200, height: 112, gap: 10 }, map: { title: "Map", width: 30, height: 30, gap: 4 },
  list: { title: "List", width: null, height: 40, gap: 0 },
};

const fleet = signal(null), failed = signal("");
const wanted = signal(""), order = signal("name"), layout = signal("tiles");

const ORDERS = {
  name: ["Name", (a, b) => a.serial - b.serial], net: ["Export", (a, b) => b.net - a.net], import: ["Import", (a, b) => a.net - b.net],
  pv: ["Sun", (a, b) => b.pv - a.pv], load: ["Load", (a, b) => b.load - a.load], soc: ["Charge", (a, b) => b.soc - a.soc],
  alarms: ["Alarms", (a, b) => b.alarms - a.alarms || a.serial - b.serial],
};

function taken(told) {
  const columns = Object.entries(FIELDS);
  return { ...told, tiles: told.meters.map((id, index) => {
    const tile = { id, serial: index, online: told.online[index], alarms: told.alarms[index], community: told.communities[index] };
    for (const [name, path] of columns) tile[name] = told.values[path][index];
    return tile;
  }) };
}

function useFleet() {
  useEffect(() => {
    let stopped = false, timer;
    const look = async () => {
      if (!document.hidden) {
        try { fleet.value = taken(await get("fleet", { fields: Object.values(FIELDS).join() })); failed.value = ""; }
        catch (error) { failed.value = error.message; }
      }
      if (!stopped) timer = setTimeout(look, EVERY_MS * Math.max((fleet.value?.meters.length ?? 0) / LARGE, 1));
    };
    look();
    return () => { stopped = true; clearTimeout(timer); };
  }, []);
}

export default function Community() {
  useFleet();
  const found = fleet.value;
  if (!found) return html`<${Empty}>${failed.value || "Loading …"}<//>`;
  const needle = wanted.value.trim().toLowerCase();
  const tiles = found.tiles.filter((one) => !needle || `${one.id} ${one.badge ?? ""} ${one.online ? "" : "offline"}`.toLowerCase().includes(needle))
    .sort(ORDERS[order.value][1]);
  const online = found.online.filter(Boolean).length;
  return html`<div class="cards">
    <${Card} id="sums" title="All together"><dl class="figures">
      <div data-sum="meters"><dt>Meters online</dt><dd>${number(online, 0)} <small>of ${number(found.meters.length, 0)}</small></dd></div>
      ${Object.entries(found.sums).map(([path, sum]) => html`<div data-sum=${path}><dt>${quantity(path).title}</dt><dd>${number(sum)} <small>${quantity(path).unit}</small></dd></div>`)}
    </dl><//>
    <${Card} id="meters" title="Meters">
      <div class="toolbar">
        <label class="search"><span class="hidden">Search meters</span><input type="search" placeholder="Search by name or status" value=${wanted.value}
          onInput=${(event) => { wanted.value = event.target.value; }} /></label>
        <label>Sort by <select value=${order.value} onChange=${(event) => { order.value = event.target.value; }}>
          ${Object.entries(ORDERS).map(([name, [title]]) => html`<option value=${name} selected=${name === order.value}>${title}</option>`)}</select></label>
        <div class="segments" role="group" aria-label="Layout">${Object.entries(LAYOUTS).map(([name, { title }]) => html`<button type="button"
          aria-pressed=${name === layout.value} onClick=${() => { layout.value = name; }}>${title}</button>`)}</div>
        <span class="about" role="status">${tiles.length === found.meters.length ? `${tiles.length} meters` : `${tiles.length} of ${found.meters.length} meters`}</span>
      </div>
      ${layout.value === "map" && html`<p class="about key"><span><i class="battery"></i>exporting</span><span><i class="grid"></i>importing</span><span><i></i>balanced</span></p>`}
      ${layout.value === "list" && html`<p class="list-row about" aria-hidden="true"><span>Meter</span><span>Status</span><span>Sun kW</span><span>Load kW</span><span>Net kW</span><span>Charge</span></p>`}
      ${tiles.length ? html`<${Tiles} tiles=${tiles} key=${layout.value} />` : html`<${Empty}>${found.meters.length ? "No meter fits." : "No meter has announced itself on this broker yet."}<//>`}
    <//>
  </div>`;
}

function Tiles({ tiles }) {
  const place = useRef();
  const { width, height, gap } = LAYOUTS[layout.value], row = height + gap;
  const [seen, setSeen] = useState({ columns: 1, from: 0, to: 12 });
  useEffect(() => { // which rows can be seen
    const list = place.current;
    const look = () => {
      const box = list.getBoundingClientRect();
      const columns = width === null ? 1 : Math.max(Math.floor((box.width + gap) / (width + gap)), 1);
      const from = Math.max(Math.floor(-box.top / row) - 2, 0), to = Math.max(Math.ceil((innerHeight - box.top) / row) + 2, 0);
      setSeen((now) => now.columns === columns && now.from === from && now.to === to ? now : { columns, from, to });
    };
    const size = new ResizeObserver(look);
    size.observe(list);
    addEventListener("scroll", look, { passive: true });
    look();
    return () => { size.disconnect(); removeEventListener("scroll", look); };
  }, []);
  const { columns, from, to } = seen, share = 100 / columns, Shape = { tiles: Tile, map: Dot, list: Line }[layout.value];
  return html`<ul class="tiles" ref=${place} style=${{ height: `${Math.ceil(tiles.length / columns) * row}px` }}>
    ${tiles.slice(from * columns, to * columns).map((tile, index) => {
      const at = from * columns + index, column = at % columns;
      return html`<li key=${tile.id} aria-setsize=${tiles.length} aria-posinset=${at + 1} style=${{
        top: `${Math.floor(at / columns) * row}px`, left: `calc(${column * share}% + ${column * gap / columns}px)`,
        width: `calc(${share}% - ${gap * (columns - 1) / columns}px)`, height: `${height}px`,
      }}><${Shape} ...${tile} direction=${directionOf(tile)} here=${tile.id === meter.value ? "true" : undefined} /></li>`;
    })}
  </ul>`;
}

const directionOf = ({ online, net }) => !online ? "offline" : net > 0.01 ? "exporting" : net < -0.01 ? "importing" : "balanced";
const home = (id) => link({ meter: id, view: "home" });

const Dot = ({ id, alarms, badge, net, direction, here }) => html`<a class="dot ${direction} ${alarms ? "alarmed" : ""}" href=${home(id)} onClick=${go}
  data-meter=${id} aria-current=${here} aria-label="${id}, ${direction}, ${number(net)} kW" title="${id}: ${badge ?? direction}, ${number(net)} kW"></a>`;

const Line = ({ id, online, badge, pv, load, net, soc, direction, here }) => html`<a class="list-row ${direction}" href=${home(id)} onClick=${go}
  data-meter=${id} aria-current=${here}><b>${id}</b><span>${online ? badge ?? "–" : "offline"}</span><span>${number(pv)}</span><span>${number(load)}</span>
  <span>${number(net)}</span><span>${number(soc, 0)} %</span></a>`;

function Tile({ id, online, alarms, badge, pv, load, battery, net, soc, direction, here }) {
  return html`<a class="tile ${direction}" href=${home(id)} onClick=${go} data-meter=${id} aria-current=${here}>
    <span class="tile-head"><b>${id}</b>${alarms > 0 && html`<span class="count" title="alarms">${alarms}<span class="hidden"> alarms</span></span>`}</span>
    <span class="tile-badge">${online ? badge ?? "–" : "offline"}</span>
    <span class="tile-net">${number(net)} <small>kW net</small></span>
    <span class="tile-row"><span><span class="hidden">sun </span><i class="sun"></i>${number(pv, 1)}</span><span><span class="hidden">load </span><i class="home"></i>${number(load, 1)}</span><span><span class="hidden">battery </span><i class="battery"></i>${number(battery, 1)}</span><span>${number(soc, 0)} %</span></span>
    <span class="soc"><span style=${{ width: `${soc ?? 0}%` }}></span></span>
  </a>`;
}
