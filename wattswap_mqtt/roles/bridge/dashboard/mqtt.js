// The wire itself: what comes on the meter's topics, and a line to paste for everything that can be set.
import { streamOf } from "./api.js";
import { catalogue, topic } from "./catalogue.js";
import { broker, meter, switches } from "./live.js";
import { Card, clock, Empty, html, signal, useEffect, useState } from "./ui.js";

const KEPT = 200;

const log = signal([]);
const newest = signal(new Map()); // by topic
const paused = signal(false);

export default function Mqtt() {
  useEffect(() => { // a stream of its own, as long as somebody looks
    log.value = []; newest.value = new Map();
    const stream = streamOf({ meter_id: meter.value, events: "message" });
    stream.addEventListener("message", (event) => {
      const message = JSON.parse(event.data);
      newest.value = new Map(newest.value).set(message.topic, { ...message, count: (newest.value.get(message.topic)?.count ?? 0) + 1 });
      if (!paused.value) log.value = [message, ...log.value].slice(0, KEPT);
    });
    return () => stream.close();
  }, []);
  return html`<div class="cards">
    <${Card} id="listen" title="Listen and command"><${Lines} /><//>
    <${Card} id="topics" title="Topics" className="half"><${Topics} /><//>
    <${Card} id="log" title="As it comes" className="half" aside=${html`<button type="button" class="button small" aria-pressed=${paused.value}
      onClick=${() => { paused.value = !paused.value; }}>${paused.value ? "Go on" : "Pause"}</button>`}><${Log} /><//>
  </div>`;
}

// The broker as seen from where the page is read: a loopback address means the machine that the page came from.
function address() {
  const found = /^mqtts?:\/\/(\[.*\]|[^:]*):(\d+)$/.exec(broker.value.address ?? "") ?? [null, location.hostname, "1883"];
  const host = ["127.0.0.1", "localhost", "[::1]", "0.0.0.0"].includes(found[1]) ? location.hostname : found[1];
  return `-h ${host} -p ${found[2]}`;
}

const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

function Lines() {
  const names = { meter_id: meter.value };
  const value = (one) => {
    const told = switches.value?.[one.name] ?? one.default;
    return one.kind === "bool" ? (told ? "OFF" : "ON") : typeof told === "object" ? JSON.stringify({ bias_pct: 10 }) : String(told);
  };
  const publish = (to, payload) => `mosquitto_pub ${address()} -t ${to} -m ${quoted(payload)}`;
  const lines = [
    ["Everything of this meter", `mosquitto_sub ${address()} -t ${quoted(topic("state", names).replace(/state$/, "#"))} -v`],
    ...catalogue.value.switches.map((one) => [one.title, publish(topic("set_switch", { ...names, switch: one.name }), value(one))]),
    ["Scenario", publish(topic("set_scenario", names), "island-mode")],
    ["Order", publish(topic("place_order", names), JSON.stringify({ ...catalogue.value.order.examples[0], meter_id: meter.value, id: "mine" }))],
    ["Cancel an order", publish(topic("cancel_order", names), JSON.stringify({ order_id: `${meter.value}.1`, id: "mine" }))],
  ];
  return html`<ul class="lines">${lines.map(([title, line]) => html`<li key=${title}><${Line} title=${title} line=${line} /></li>`)}</ul>`;
}

function Line({ title, line }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    await copyText(line);
    setCopied(true);
    setTimeout(() => setCopied(false), 2000);
  };
  return html`<span class="label">${title}</span><code class="scroll" tabindex="0" role="group" aria-label="Command: ${title}">${line}</code>
    <button type="button" class="button small" onClick=${copy} aria-label=${copied ? `Copied: ${title}` : `Copy: ${title}`}>${copied ? "Copied" : "Copy"}</button>`;
}

// Browsers give their clipboard only to pages of https and of this machine; the old way works everywhere.
async function copyText(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text).catch(() => {});
  const area = Object.assign(document.createElement("textarea"), { value: text });
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

function Topics() {
  const [open, setOpen] = useState(null);
  const prefix = topic("state", { meter_id: meter.value }).replace(/state$/, "");
  const found = [...newest.value.values()].sort((one, other) => one.topic.localeCompare(other.topic));
  if (!found.length) return html`<${Empty}>Nothing has come yet.<//>`;
  return html`<p class="about">below <code>${prefix}</code></p><ul class="topics">${found.map(({ topic: name, payload, count, received_at: at }) => html`<li key=${name} data-topic=${name}>
    <button type="button" aria-expanded=${open === name} onClick=${() => setOpen(open === name ? null : name)}>
      <b>${name.replace(prefix, "")}</b><small>${count} × · ${clock(at)}</small></button>
    ${open === name ? html`<pre class="scroll" tabindex="0" role="group" aria-label="Payload">${pretty(payload)}</pre>` : html`<code class="short">${payload || "(empty)"}</code>`}
  </li>`)}</ul>`;
}

function pretty(payload) {
  try { return JSON.stringify(JSON.parse(payload), null, 2); } catch { return payload; }
}

function Log() {
  if (!log.value.length) return html`<${Empty}>Nothing has come yet.<//>`;
  return html`<div class="log scroll" tabindex="0" role="group" aria-label="Messages, newest first"><ol>${log.value.slice(0, 100).map((one) => html`<li>
    <time>${clock(one.received_at)}</time> <b>${one.topic}</b> <code class="short">${one.payload || "(empty)"}</code></li>`)}</ol></div>`;
}
