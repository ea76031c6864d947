// One click for a documented situation; what is expected of it stands beside what is measured.
import { get } from "./api.js";
import { at, display } from "./catalogue.js";
import { Refusal, useCommand } from "./controls.js";
import { events, meter, orders, scenario, state, truth } from "./live.js";
import { Empty, html, number, shown, signal, useEffect } from "./ui.js";

const known = signal(null);

export function Scenarios() {
  const [fate, send] = useCommand();
  useEffect(() => { get("scenarios").then((found) => { known.value = found.scenarios; }).catch(() => {}); }, []);
  if (!known.value) return html`<${Empty}>Loading …<//>`;
  const set = (name) => send(`scenarios/${encodeURIComponent(name)}`, { meter_id: meter.value });
  const current = known.value.find((one) => one.slug === scenario.value);
  return html`
    <${Refusal} text=${fate.refused} />
    ${current && html`<${Compared} ...${current} />`}
    <ul class="scenarios" aria-busy=${!!fate.pending}>
      <li><${Button} slug="none" title="Plain home" on=${scenario.value === "none"} set=${set} /></li>
      ${known.value.map(({ slug, title, number: which }) => html`<li key=${slug}>
        <${Button} slug=${slug} title=${title} which=${which} on=${slug === scenario.value} set=${set} />
      </li>`)}
    </ul>`;
}

const Button = ({ slug, title, which, on, set }) => html`<button type="button" class="scenario" data-scenario=${slug}
  aria-pressed=${on} onClick=${() => set(slug)}><span class="which">${which ?? "–"}</span>${title}</button>`;

// Seconds of simulated time since the scenario was set; as far back as the events go.
function elapsed() {
  const begun = events.value.find((event) => event.event_type === "scenario_set");
  return begun ? (new Date(state.value.timestamp) - new Date(begun.timestamp)) / 1000 : 0;
}

// What an expectation speaks of, as text: a quantity, the truth of one, an alarm, an order that the scenario placed.
function measured(path) {
  const [root, ...rest] = path.split(".");
  if (root === "truth") return figure(rest.join("."), truth.value ?? state.value);
  if (root === "alarms") return shown(state.value.alarms.some((alarm) => alarm.code === rest[0]));
  if (root === "events") return String(events.value.filter((event) => event.event_type === rest[0]).length);
  if (root === "orders") {
    const placed = events.value.find((event) => event.event_type === "scenario_event" && event.order === rest[0]);
    return shown(orders.value.get(placed?.order_id)?.[rest[1]]);
  }
  return figure(path, state.value);
}

function figure(path, snapshot) {
  const { text, unit } = display(path, snapshot, typeof at(snapshot, path) === "number" && path.endsWith("_kw") ? 2 : undefined);
  return `${text} ${unit}`;
}

function Compared({ title, slug, description, expect = [], events: coming = [] }) {
  const now = elapsed();
  // of what holds for a while only what holds now, said once
  const rows = expect.filter(({ from_s: from, until_s: until }) => from <= now && (now < until || until <= 900));
  return html`<section class="compared" data-compared=${slug} aria-label="What to expect of ${title}">
    <h3>${title}</h3>
    <p class="about">${description}</p>
    <div class="scroll tall" tabindex="0" role="group" aria-label="Expected and measured"><table>
      <thead><tr><th scope="col">what</th><th scope="col">expected</th><th scope="col">measured</th></tr></thead>
      <tbody>${rows.map(({ path, says, wanted }) => html`<tr data-expected=${path}><th scope="row">${says ?? path}<br /><small>${path}</small></th>
        <td>${wanted}</td><td>${measured(path)}</td></tr>`)}</tbody>
    </table></div>
    ${coming.length > 0 && html`<p class="about">Then: ${coming.map(({ after_s: after, ...action }) =>
      `after ${number(after / 60, 0)} min ${Object.entries(action).map(([what, value]) => `${what} ${shown(value)}`).join(", ")}`).join("; ")}</p>`}
  </section>`;
}
