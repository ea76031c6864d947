// The picture of where the energy goes: four neighbours of the home, and dots that run along the lines, faster with power.
import { at } from "./catalogue.js";
import { state } from "./live.js";
import { html, number, SUN, useEffect, useRef } from "./ui.js";

const FLOWING_KW = 0.01;
const CENTRE = [200, 190], RADIUS = 47;
const SPACING = 16; // between dots

// Power towards the home is positive, so that the dots run inwards.
const NEIGHBOURS = [
  {
    name: "sun", label: "Sun", x: 66, y: 74, above: true,
    power: (s) => at(s, "pv.pv_power_kw"), inwards: (kw) => kw,
    note: (s) => `${number(at(s, "pv.pv_irradiance_wpm2"), 0)} W/m²`,
  },
  {
    name: "grid", label: "Grid", x: 334, y: 74, above: true,
    power: (s) => at(s, "derived.net_power_kw"), inwards: (kw) => -kw,
    note: (s, kw) => at(s, "grid.grid_status") === "islanded" ? "islanded" : word(kw, "export", "import"),
  },
  {
    name: "battery", label: "Battery", x: 66, y: 306,
    power: (s) => at(s, "battery.battery_power_kw"), inwards: (kw) => kw,
    share: (s) => at(s, "battery.soc_pct"),
    note: (s, kw) => word(kw, "discharging", "charging"),
  },
  {
    name: "ev", label: "EV", x: 334, y: 306,
    power: (s) => at(s, "ev.power_kw"), inwards: (kw) => -kw,
    share: (s) => at(s, "ev.plugged") ? at(s, "ev.soc_pct") : undefined,
    note: (s) => at(s, "ev.plugged") ? at(s, "ev.mode") : "not plugged",
  },
];

const ICONS = {
  sun: SUN,
  grid: "M9 3h6M8 22l3.2-18h1.6L16 22M4 8h16M5.5 8 12 4.6 18.5 8M9.6 13h4.8M8.2 21l6.6-8M15.8 21l-6.6-8",
  battery: "M6 6h12v15H6zM9.5 3h5v3h-5zM13 9l-3 5h4l-3 5",
  ev: "M3 16v-4l2.4-5.2A2 2 0 0 1 7.2 5.6h9.6a2 2 0 0 1 1.8 1.2L21 12v4M3 12h18M3 16h18v3h-3v-2H6v2H3zM6.5 14h1.5M16 14h1.5",
  home: "M3 12 12 4l9 8M5.5 10v10h13V10M10 20v-6h4v6",
};

const word = (kw, positive, negative) => kw > FLOWING_KW ? positive : kw < -FLOWING_KW ? negative : "idle";

// From the rim of the neighbour to the rim of the home.
const LINES = NEIGHBOURS.map(({ x, y }) => {
  const [dx, dy] = [CENTRE[0] - x, CENTRE[1] - y];
  const cut = RADIUS / Math.hypot(dx, dy);
  return { x1: x + dx * cut, y1: y + dy * cut, x2: CENTRE[0] - dx * cut, y2: CENTRE[1] - dy * cut };
});

const pixelsPerSecond = (kw) => Math.sign(kw) * Math.min(18 + 24 * Math.abs(kw), 150);

// Move the dots with every frame. The page that people do not see gets no frames, and who wants less motion no dots.
function useRunningDots(root) {
  useEffect(() => {
    let last, frame;
    const { children } = root.current;
    const offsets = NEIGHBOURS.map(() => 0);
    const step = (now) => {
      const seconds = last === undefined ? 0 : Math.min((now - last) / 1000, 0.1);
      last = now;
      NEIGHBOURS.forEach(({ power, inwards }, index) => {
        const kw = inwards(power(state.peek()) ?? 0);
        if (Math.abs(kw) < FLOWING_KW) return;
        offsets[index] = (offsets[index] - pixelsPerSecond(kw) * seconds) % SPACING;
        children[index].style.strokeDashoffset = offsets[index];
      });
      frame = requestAnimationFrame(step);
    };
    const calm = matchMedia("(prefers-reduced-motion: reduce)");
    const begin = () => { cancelAnimationFrame(frame); if (!calm.matches) frame = requestAnimationFrame(step); };
    calm.addEventListener("change", begin);
    begin();
    return () => { cancelAnimationFrame(frame); calm.removeEventListener("change", begin); };
  }, []);
}

function Node({ name, label, x, y, above, kw, note, share }) {
  const outside = { "text-anchor": x < CENTRE[0] ? "start" : "end", x: (x < CENTRE[0] ? -1 : 1) * (RADIUS + 12) };
  return html`<g class="node ${name}" transform="translate(${x} ${y})" data-node=${name}>
    <circle class="disc" r=${RADIUS} />
    ${share !== undefined && html`<circle class="ring" r=${RADIUS} pathLength="100" stroke-dasharray="${share} 100" />`}
    <path class="icon" d=${ICONS[name]} transform="translate(-10 -36) scale(.83)" />
    <text class="kw" y="9">${number(kw === undefined ? kw : Math.abs(kw), 2)}<tspan class="unit" dx="3">kW</tspan></text>
    <text class="note" y="25">${share === undefined ? note : `${number(share, 0)} %`}</text>
    <text class="name" ...${outside} y=${above ? -RADIUS - 9 : RADIUS + 19}>${label}${share === undefined ? "" : ` · ${note}`}</text>
  </g>`;
}

// Where the home's power comes from, as parts of a ring.
function sources(s) {
  const load = at(s, "loads.load_power_kw");
  if (!(load > FLOWING_KW)) return [];
  const grid = Math.max(-at(s, "derived.net_power_kw"), 0), battery = Math.max(at(s, "battery.battery_power_kw"), 0);
  const unserved = at(s, "loads.unserved_power_kw") ?? 0;
  let begin = 0;
  return [["sun", Math.max(load - grid - battery - unserved, 0)], ["battery", battery], ["grid", grid]].map(([name, kw]) => {
    const length = Math.min(kw / load * 100, 100 - begin);
    begin += length;
    return { name, length, begin: begin - length };
  });
}

export function Flow() {
  const s = state.value, dots = useRef();
  useRunningDots(dots);
  const nodes = NEIGHBOURS.map((one) => {
    const kw = one.power(s);
    return { ...one, kw, flow: one.inwards(kw ?? 0), note: one.note(s, kw), share: one.share?.(s) };
  });
  const load = at(s, "loads.load_power_kw");
  const said = [`Home ${number(load)} kW`, ...nodes.map(({ label, kw, note, share }) =>
    `${label} ${number(kw)} kW${share === undefined ? "" : `, ${number(share, 0)} %`}, ${note}`)].join("; ");
  return html`<svg class="flow" viewBox="0 0 400 380" role="img" aria-label=${said}>
    <g>${LINES.map((line, index) => html`<line class="wire ${nodes[index].name}" ...${line} />`)}</g>
    <g ref=${dots}>${LINES.map((line, index) => {
      const { name, flow } = nodes[index];
      const running = Math.abs(flow) >= FLOWING_KW ? "running" : "";
      return html`<line class="dots ${name} ${running}" stroke-dasharray="0 ${SPACING}" data-flow=${number(flow)} ...${line} />`;
    })}</g>
    <g>${LINES.map(({ x1, y1, x2, y2 }, index) => {
      const { name, flow } = nodes[index];
      const angle = Math.atan2(y2 - y1, x2 - x1) * 180 / Math.PI + (flow < 0 ? 180 : 0);
      return Math.abs(flow) >= FLOWING_KW && html`<path class="arrow ${name}" d="M-6-7 6 0-6 7z"
        transform="translate(${(x1 + x2) / 2} ${(y1 + y2) / 2}) rotate(${angle})" />`;
    })}</g>
    ${nodes.map((node) => html`<${Node} ...${node} />`)}
    <g class="node home" transform="translate(${CENTRE[0]} ${CENTRE[1]})" data-node="home">
      <circle class="disc" r=${RADIUS} />
      ${sources(s).map(({ name, length, begin }) => html`<circle class="ring ${name}" r=${RADIUS} pathLength="100"
        stroke-dasharray="${length} ${100 - length}" stroke-dashoffset=${-begin} />`)}
      <path class="icon" d=${ICONS.home} transform="translate(-10 -37) scale(.83)" />
      <text class="kw" y="9">${number(load)}<tspan class="unit" dx="3">kW</tspan></text>
      <text class="note" y="25">Home</text>
    </g>
  </svg>`;
}
