// One click for a documented situation; what is documented stands beside what is measured.
import { get } from "./api.js";
import { at, display, quantity } from "./catalogue.js";
import { Refusal, useCommand } from "./controls.js";
import { meter, scenario, state, truth } from "./live.js";
import { Empty, html, number, signal, useEffect, words } from "./ui.js";

const known = signal(null);

const FIGURES = {
  pv_kw: "pv.pv_power_kw", battery_kw: "battery.battery_power_kw", ev_kw: "ev.power_kw",
  import_kw: "grid.grid_import_kw", export_kw: "grid.grid_export_kw", net_kw: "derived.net_power_kw",
};

export function Scenarios() {
  const [fate, send] = useCommand();
  useEffect(() => { get("scenarios").then((found) => { known.value = found; }).catch(() => {}); }, []);
  if (!known.value) return html`<${Empty}>Loading …<//>`;
  const set = (name) => send(`scenarios/${encodeURIComponent(name)}`, { meter_id: meter.value });
  const { scenarios } = known.value;
  const current = scenarios.find((one) => one.slug === scenario.value);
  return html`
    <${Refusal} text=${fate.refused} />
    ${current && html`<${Compared} scenario=${current} />`}
    <ul class="scenarios" aria-busy=${!!fate.pending}>
      <li><${Button} slug="none" title="Plain home" on=${scenario.value === "none"} set=${set} /></li>
      ${scenarios.map(({ slug, title, number: which }) => html`<li key=${slug}>
        <${Button} slug=${slug} title=${title} which=${which} on=${slug === scenario.value} set=${set} />
      </li>`)}
    </ul>`;
}

const Button = ({ slug, title, which, on, set }) => html`<button type="button" class="scenario" data-scenario=${slug}
  aria-pressed=${on} onClick=${() => set(slug)}><span class="which">${which ?? "–"}</span>${title}</button>`;

// The documented figures are about the truth, which a fault hides from the meter.
function Compared({ scenario: { title, slug, expected = {}, system_status: line } }) {
  const s = truth.value ?? state.value;
  return html`<section class="compared" data-compared=${slug} aria-label="What to expect of ${title}">
    <h3>${title}</h3>
    ${line && html`<p class="about">Expected: “${line}”</p>`}
    <table>
      <thead><tr><th scope="col"></th><th scope="col">expected</th><th scope="col">measured</th></tr></thead>
      <tbody>${Object.entries(expected).filter(([, value]) => typeof value === "number").map(([name, value]) => {
        const path = FIGURES[name];
        return html`<tr data-figure=${name}><th scope="row">${path ? quantity(path).title : words(name)}</th>
          <td>${number(value)} kW</td><td>${path ? html`${display(path, s, 2).text} ${quantity(path).unit}` : "–"}</td></tr>`;
      })}</tbody>
    </table>
    ${truth.value && html`<p class="about">A fault is active: measured here means the truth.</p>`}
  </section>`;
}
