// The order ticket, its form walked from the schema of an order, and what becomes of the meter's orders.
import { get } from "./api.js";
import { catalogue } from "./catalogue.js";
import { Refusal, useCommand } from "./controls.js";
import { bridge, meter, orders, zone } from "./live.js";
import { clock, Empty, html, number, useEffect, useState } from "./ui.js";

const NOT_ASKED = ["meter_id"]; // it is known
const ENDED = ["executed", "failed", "expired", "cancelled"];

const optional = (schema) => schema.anyOf ? { ...schema, ...schema.anyOf[0] } : schema;

export function Ticket() {
  const { properties, required, examples } = catalogue.value.order;
  const [given, setGiven] = useState(() => pick(examples[0], required));
  const [fate, send] = useCommand();
  const [placed, setPlaced] = useState(null);
  const names = Object.keys(properties).filter((name) => !NOT_ASKED.includes(name));
  const field = (name) => html`<${Field} key=${name} name=${name} schema=${optional(properties[name])} value=${given[name]}
    set=${(value) => setGiven({ ...given, [name]: value })} />`;
  const submit = async (event) => {
    event.preventDefault();
    setPlaced(null);
    const body = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== "" && value !== undefined));
    const order = await send("market/order", { meter_id: meter.value, ...body });
    if (order) { setPlaced(order); orders.value = new Map(orders.value).set(order.order_id, order); }
  };
  const first = [...required, ...names.filter((name) => name === "price")];
  return html`<form class="ticket" onSubmit=${submit} noValidate>
    ${first.map(field)}
    <details><summary>More</summary>${names.filter((name) => !first.includes(name)).map(field)}</details>
    <button class="button primary" disabled=${fate.pending}>Place the order</button>
    <${Refusal} text=${fate.refused} id="order-refusal" />
    <p role="status" class="about" data-role="placed">${placed && `${placed.order_id}: ${placed.status}${placed.average_price == null ? "" : `, matched at ${number(placed.average_price, 4)} apt/kWh`}`}</p>
  </form>`;
}

const pick = (from, names) => Object.fromEntries(names.map((name) => [name, from[name]]));

function Field({ name, schema, value, set }) {
  const { title, description, type, enum: options, default: usual, "x-unit": unit } = schema;
  const id = `order-${name}`;
  // "sell_market" says two things at once: here side and type are asked one by one
  const words = options?.filter((option) => !options.some((other) => option !== other && option.includes(`_${other}`)));
  const placeholder = usual === null || usual === undefined ? "" : String(usual);
  if (words && words.length <= 2) {
    return html`<fieldset class="choice" title=${description}><legend class="label">${title}</legend><div class="segments">
      ${words.map((word) => html`<label class=${value === word ? "on" : ""}><input type="radio" name=${id} value=${word} checked=${value === word} onChange=${() => set(word)} />${word}</label>`)}
    </div></fieldset>`;
  }
  return html`<div class="control-row" title=${description}>
    <label for=${id}>${title}</label>
    <span class="field">${words
      ? html`<select id=${id} value=${value ?? usual} onChange=${(event) => set(event.target.value)}>${words.map((word) => html`<option selected=${word === (value ?? usual)}>${word}</option>`)}</select>`
      : html`<input id=${id} type=${type === "number" ? "number" : "text"} step="any" value=${value ?? ""} placeholder=${placeholder}
          onInput=${(event) => set(type === "number" && event.target.value !== "" ? Number(event.target.value) : event.target.value)} />`}
      <span class="unit">${unit ?? ""}</span></span>
  </div>`;
}

export function Orders() {
  const [fate, send] = useCommand();
  const [loaded, setLoaded] = useState(false);
  useEffect(() => { // what was before we came; and again after the bridge was away
    if (!bridge.value.open) return;
    get("market/orders", { meter_id: meter.value, limit: 50 }).then((found) => {
      const known = new Map((found.orders ?? []).map((order) => [order.order_id, order]));
      orders.value = new Map([...known, ...[...orders.value].filter(([id]) => !known.has(id))]);
    }).catch(() => {}).finally(() => setLoaded(true));
  }, [bridge.value.open]);
  const all = [...orders.value.values()].sort((one, other) => serial(other) - serial(one));
  if (!all.length) return html`<${Empty}>${loaded ? "No orders yet." : "Loading …"}<//>`;
  return html`<${Refusal} text=${fate.refused} /><div class="scroll tall" tabindex="0" role="group" aria-label="Orders, newest first"><table class="orders">
    <thead><tr><th scope="col">order</th><th scope="col">kWh</th><th scope="col">price</th><th scope="col">delivered</th><th scope="col">status</th><th scope="col"><span class="hidden">cancel</span></th></tr></thead>
    <tbody>${all.slice(0, 50).map((order) => html`<${Row} key=${order.order_id} order=${order} cancel=${() => send("market/cancel", { order_id: order.order_id })} />`)}</tbody>
  </table></div>`;
}

const serial = (order) => Number(order.order_id.split(".").at(-1));

function Row({ order, cancel }) {
  const { order_id: id, side, type, quantity_kwh: kwh, matched_kwh: matched, filled_kwh: filled, status, price, average_price: average } = order;
  const open = !ENDED.includes(status);
  return html`<tr data-order=${id} data-status=${status} class=${open ? "" : "ended"}>
    <th scope="row">${side} · ${type}<br /><small>${id} · ${clock(order.created_at, zone.value)}</small></th>
    <td>${number(kwh, 3)}</td>
    <td>${number(average ?? price, 4)}${average == null && price != null ? html`<br /><small>limit</small>` : ""}</td>
    <td><span class="progress" role="progressbar" aria-label="delivered of ${id}" aria-valuemin="0" aria-valuemax=${kwh} aria-valuenow=${filled} title="matched ${number(matched, 3)} kWh, delivered ${number(filled, 3)} kWh">
      <span class="matched" style=${{ width: `${matched / kwh * 100}%` }}></span><span class="filled" style=${{ width: `${filled / kwh * 100}%` }}></span></span>
      <small>${number(filled, 3)}</small></td>
    <td>${status.replaceAll("_", " ")}${order.reason ? html`<br /><small title=${order.message ?? ""}>${order.reason.replaceAll("_", " ")}</small>` : ""}</td>
    <td>${open && html`<button type="button" class="button small" onClick=${cancel} aria-label="Cancel ${id}">Cancel</button>`}</td>
  </tr>`;
}
