// The marketplace: prices, the book, what was traded, and the meter's own orders and accounts.
import { get } from "./api.js";
import { Ledger } from "./ledger.js";
import { community, market, meter, trades, zone } from "./live.js";
import { Orders, Ticket } from "./orders.js";
import { Card, clock, Empty, html, number, useEffect, useState } from "./ui.js";

const PRICES = [
  ["current_market_price", "Market price"], ["best_bid", "Best bid"], ["best_ask", "Best ask"],
  ["feed_in_tariff", "Feed-in tariff"], ["import_tariff", "Import tariff"],
];

export default function Market() {
  const found = market.value;
  return html`<div class="cards even">
    <${Card} id="prices" title="Prices">${found ? html`<dl class="figures">
      ${PRICES.map(([name, title]) => html`<div data-price=${name}><dt>${title}</dt><dd>${number(found[name], 4)} <small>apt/kWh</small></dd></div>`)}
    </dl>` : html`<${Empty}>No prices yet.<//>`}<//>
    <${Card} id="ticket" title="New order" className="third"><${Ticket} /><//>
    <${Card} id="orders" title="Orders of ${meter.value}" className="two-thirds"><${Orders} /><//>
    <${Card} id="depth" title="Order book" className="third"><${Depth} depth=${found?.depth} /><//>
    <${Card} id="candles" title="Price by the quarter hour" className="two-thirds"><${Candles} newest=${found?.candles?.at(-1)?.start} /><//>
    <${Card} id="ledger" title="Statement of ${meter.value}" className="two-thirds"><${Ledger} /><//>
    <${Card} id="trades" title="Trades of the community" className="third"><${Trades} /><//>
  </div>`;
}

// Both sides of the book around the spread; a bar's length is the energy that waits there.
function Depth({ depth }) {
  const asks = [...depth?.asks ?? []].reverse(), bids = depth?.bids ?? [];
  if (!asks.length && !bids.length) return html`<${Empty}>No order waits in the book: the utility's tariffs stand alone.<//>`;
  const most = Math.max(...[...asks, ...bids].map((level) => level.quantity_kwh));
  const row = (side) => ({ price, quantity_kwh: kwh }) => html`<tr class=${side}>
    <th scope="row">${number(price, 4)}</th><td class="bar-cell"><span class="bar" style=${{ width: `${kwh / most * 100}%` }}></span></td><td>${number(kwh, 3)}</td>
  </tr>`;
  return html`<table class="depth"><thead><tr><th scope="col">apt/kWh</th><th scope="col"><span class="hidden">depth</span></th><th scope="col">kWh</th></tr></thead>
    <tbody aria-label="asks">${asks.map(row("ask"))}</tbody>
    <tbody><tr class="spread"><th scope="row" colspan="3">${asks.length && bids.length ? `spread ${number(asks.at(-1).price - bids[0].price, 4)}` : "one side is empty"}</th></tr></tbody>
    <tbody aria-label="bids">${bids.map(row("bid"))}</tbody></table>`;
}

const SHOWN = 48, HEIGHT = 220, FOOT = 20, LEFT = 50;
const WIDTH = innerWidth < 640 ? 340 : 600; // so that letters are of a readable size on both

// First, highest, lowest and last price of each quarter hour; below them what was traded.
function Candles({ newest }) {
  const [found, setFound] = useState(null);
  const asked = community.value;
  useEffect(() => {
    get("market/candles", { community: asked, limit: SHOWN }).then((answer) => setFound(answer.candles ?? []), () => setFound([]));
  }, [asked, newest]);
  if (!found) return html`<${Empty}>Loading …<//>`;
  if (!found.length) return html`<${Empty}>Nothing was traded yet.<//>`;
  const low = Math.min(...found.map((one) => one.low)), high = Math.max(...found.map((one) => one.high));
  const span = high - low || 0.01, most = Math.max(...found.map((one) => one.volume_kwh)) || 1;
  const plot = HEIGHT - FOOT - 46;
  const y = (price) => 12 + (high - price) / span * plot;
  const step = (WIDTH - LEFT) / Math.max(found.length, 12), wide = Math.max(step * 0.6, 2);
  const ticks = [high, (high + low) / 2, low];
  const last = found.at(-1);
  return html`<svg class="candles" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img"
    aria-label="${found.length} quarter hours; the last from ${number(last.open, 4)} to ${number(last.close, 4)} apt/kWh, ${number(last.volume_kwh, 2)} kWh">
    ${ticks.map((price) => html`<line class="rule" x1=${LEFT} x2=${WIDTH} y1=${y(price)} y2=${y(price)} /><text x=${LEFT - 6} y=${y(price) + 4} text-anchor="end">${number(price, 3)}</text>`)}
    ${found.map((one, index) => {
      const x = LEFT + step * (index + 0.5), tall = one.volume_kwh / most * 26;
      return html`<g class=${one.close < one.open ? "falls" : "rises"}>
        <title>${`${clock(one.start, zone.value)}: ${number(one.open, 4)} to ${number(one.close, 4)} apt/kWh, ${number(one.volume_kwh, 3)} kWh in ${one.trades} trades`}</title>
        <line x1=${x} x2=${x} y1=${y(one.high)} y2=${y(one.low)} />
        <rect x=${x - wide / 2} width=${wide} y=${y(Math.max(one.open, one.close))} height=${Math.max(Math.abs(y(one.open) - y(one.close)), 1.5)} />
        <rect class="volume" x=${x - wide / 2} width=${wide} y=${HEIGHT - FOOT - tall} height=${tall} />
      </g>`;
    })}
    ${[0, found.length >> 1, found.length - 1].filter((index, at, all) => all.indexOf(index) === at).map((index) => html`<text
      x=${LEFT + step * (index + 0.5)} y=${HEIGHT - 4} text-anchor="middle">${clock(found[index].start, zone.value).slice(0, 5)}</text>`)}
  </svg>`;
}

function Trades() {
  if (!trades.value.length) return html`<${Empty}>Nothing was traded yet.<//>`;
  return html`<div class="scroll tall" tabindex="0" role="group" aria-label="Trades, newest first"><table>
    <thead><tr><th scope="col">time</th><th scope="col">kWh</th><th scope="col">apt/kWh</th></tr></thead>
    <tbody>${trades.value.slice(0, 40).map((one) => html`<tr key=${one.trade_id} title="${one.side} of ${one.meter_id}, with ${one.counterparty}">
      <th scope="row"><time datetime=${one.timestamp}>${clock(one.timestamp, zone.value)}</time></th><td>${number(one.quantity_kwh, 3)}</td><td>${number(one.price, 4)}</td></tr>`)}</tbody>
  </table></div>`;
}
