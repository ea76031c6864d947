// Registers and ledgers: every quantity that only adds up, grouped by its unit.
import { at, catalogue, display } from "./catalogue.js";
import { state } from "./live.js";
import { html } from "./ui.js";

const NAMES = { kWh: "Energy", kg: "CO₂", apt: "Tokens" };

export function Totals() {
  const groups = Map.groupBy(
    catalogue.value.quantities.filter((one) => one.section === "derived" && one.state_class?.startsWith("total")),
    (one) => one.unit,
  );
  return html`<div class="total-groups">${[...groups].map(([unit, quantities]) => html`<section class="total-group">
    <h3>${NAMES[unit] ?? unit}</h3>
    <dl class="figures">${quantities.map(({ path, title, meaning }) => html`<div title=${meaning} data-path=${path}>
      <dt>${title}</dt><dd>${display(path, state.value).text} <small>${unit}</small></dd>
    </div>`)}</dl>
  </section>`)}</div>`;
}
