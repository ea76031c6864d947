// uPlot in a component: sized by its place, coloured by the theme, in the meter's time zone.
import uPlot from "./vendor/uplot.js";
import { colour, theme } from "./theme.js";
import { html, number, useEffect, useRef } from "./ui.js";

export function Chart({ data, series, zone, onZoom, span }) {
  const place = useRef(), plot = useRef(), wanted = useRef();
  wanted.current = span;
  const scheme = theme.value;

  useEffect(() => {
    const here = place.current;
    const made = plot.current = new uPlot(options(here, series, zone, onZoom, wanted), data, here);
    made.root.querySelector("canvas").setAttribute("aria-hidden", "true");
    const follow = new ResizeObserver(() => made.setSize(size(here, made.root.querySelector(".u-legend").offsetHeight)));
    follow.observe(here);
    return () => { follow.disconnect(); made.destroy(); };
  }, [scheme, zone]);
  useEffect(() => { if (plot.current.data !== data) plot.current.setData(data); tellLast(plot.current); }, [data, scheme, zone]);

  const last = data[0].length - 1;
  const said = last < 0 ? "no data yet" : series.map(({ label, unit }, index) => `${label} ${number(data[index + 1][last])} ${unit}`).join(", ");
  return html`<div class="chart" ref=${place} role="img" aria-label="Chart; at its end: ${said}"></div>`;
}

const size = (place, legend = 30) => ({ width: place.clientWidth, height: Math.max(place.clientHeight - legend, 120) });

// Without a pointer over the chart the legend tells its end.
const tellLast = (made) => { if (!(made.cursor.left >= 0) && made.data[0].length) made.setLegend({ idx: made.data[0].length - 1 }, false); };

function options(place, series, zone, onZoom, wanted) {
  const axis = {
    stroke: colour("soft"), font: "12px system-ui, sans-serif", grid: { stroke: colour("line"), width: 1 }, ticks: { show: false },
  };
  const tzDate = (seconds) => {
    try { return uPlot.tzDate(new Date(seconds * 1000), zone); } catch { return new Date(seconds * 1000); }
  };
  return {
    ...size(place), tzDate,
    cursor: { drag: { x: true, y: false, setScale: false }, points: { size: 7 } },
    axes: [{ ...axis, space: 80, values: (made, ticks) => ticks.map((tick) => timeOf(tzDate(tick), made.scales.x.max - made.scales.x.min)) }, { ...axis, size: 52, values: (_, ticks) => ticks.map((tick) => tick.toString().replace("-", "−")) }],
    scales: { x: { range: (_, low, high) => wanted.current ?? [low, high] }, y: { range: (_, low, high) => padded(low, high) } },
    series: [
      { value: (_, seconds) => (seconds === null ? "–" : tzDate(seconds).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" })), label: "Time" },
      ...series.map(({ label, unit, colour: name }) => ({
        label, stroke: colour(name), width: 2, points: { show: false },
        value: (_, value) => (value === null ? "–" : `${number(value)} ${unit}`),
      })),
    ],
    hooks: {
      setCursor: [(made) => { if (made.cursor.left < 0) tellLast(made); }],
      setSelect: [(made) => {
        if (made.select.width < 8) return;
        const [from, to] = [made.posToVal(made.select.left, "x"), made.posToVal(made.select.left + made.select.width, "x")];
        made.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
        onZoom?.([from, to]);
      }],
    },
  };
}

// From 0 if that is near, and with some air.
function padded(low, high) {
  if (low === null || high === null) return [0, 1];
  const bottom = Math.min(low, low > 0 && low < (high - low) * 2 ? 0 : low), top = Math.max(high, 0 > high ? high : bottom + 0.5);
  const air = (top - bottom) * 0.08 || 0.5;
  return [bottom === 0 ? 0 : bottom - air, top + air];
}

// As short as the length of the axis allows; the clock has 24 hours.
function timeOf(date, length) {
  const shown = length <= 600 ? { timeStyle: "medium" } : length <= 2 * 86400 ? { timeStyle: "short" }
    : length <= 90 * 86400 ? { day: "numeric", month: "short" } : { month: "short", year: "numeric" };
  return date.toLocaleString("en-GB", shown);
}
