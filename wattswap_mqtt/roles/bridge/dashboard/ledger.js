// What the meter earned and spent, entry by entry, and the sum over all accounts, which is always zero.
import { get } from "./api.js";
import { at } from "./catalogue.js";
import { market, meter, state, zone } from "./live.js";
import { clock, day, Empty, html, number, useEffect, useState } from "./ui.js";

export function Ledger() {
  const [found, setFound] = useState(null);
  const balance = at(state.value, "derived.token_balance_apt"), newest = market.value?.candles?.at(-1)?.start;
  const quarter = Math.floor(new Date(state.value.timestamp) / 900_000); // entries are booked by the quarter hour
  useEffect(() => {
    get("market/statement", { meter_id: meter.value, limit: 40 }).then(setFound, () => setFound({ entries: [] }));
  }, [quarter, newest]);
  if (!found) return html`<${Empty}>Loading …<//>`;
  return html`<dl class="figures">
      <div><dt>Balance now</dt><dd>${number(balance, 4)} <small>apt</small></dd></div>
      <div><dt>Sold</dt><dd>${number(found.sold_kwh, 3)} <small>kWh</small></dd></div>
      <div><dt>Bought</dt><dd>${number(found.bought_kwh, 3)} <small>kWh</small></dd></div>
      <div><dt>Sum of all accounts</dt><dd data-role="ledger-sum">${number(market.value?.ledger_sum_utok, 0)} <small>µapt</small></dd></div>
    </dl>
    ${found.entries?.length ? html`<div class="scroll tall" tabindex="0" role="group" aria-label="Entries, newest first"><table>
      <thead><tr><th scope="col">entry</th><th scope="col">kWh</th><th scope="col">apt/kWh</th><th scope="col">apt</th><th scope="col">balance</th></tr></thead>
      <tbody>${[...found.entries].reverse().map((entry) => html`<tr key=${entry.entry_id}>
        <th scope="row">${entry.kind}<br /><small>${day(entry.timestamp, zone.value)} ${clock(entry.timestamp, zone.value)} · ${entry.counterparty}</small></th>
        <td>${number(entry.energy_kwh, 3)}</td><td>${number(entry.price, 4)}</td><td>${number(entry.amount_apt, 4)}</td><td>${number(entry.balance_apt, 4)}</td>
      </tr>`)}</tbody></table></div>` : html`<${Empty}>Nothing was booked in the last day. Entries come when their quarter hour is over.<//>`}`;
}
