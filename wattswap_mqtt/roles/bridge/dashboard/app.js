// The page: header, what is wrong, and the chosen view; views other than the first are loaded when they are opened.
import { catalogue } from "./catalogue.js";
import { Home } from "./home.js";
import { meter, meters, start, state, trouble } from "./live.js";
import { go, link, view } from "./route.js";
import { Connection, Time, Trouble } from "./status.js";
import { theme, ThemeButton } from "./theme.js";
import { Empty, effect, html, render, signal } from "./ui.js";

const VIEWS = {
  home: ["Home", null],
  market: ["Market", () => import("./market.js")],
  meter: ["Meter", () => import("./values.js")],
  faults: ["Faults", () => import("./faults.js")],
  mqtt: ["MQTT", () => import("./mqtt.js")],
  community: ["Community", () => import("./community.js")],
};
const loaded = signal({ home: Home });

effect(() => {
  const wanted = view.value;
  const load = VIEWS[wanted]?.[1];
  if (load && !loaded.peek()[wanted]) load().then((module) => { loaded.value = { ...loaded.peek(), [wanted]: module.default }; });
});

effect(() => {
  const title = VIEWS[view.value]?.[0] ?? "Home";
  document.title = view.value === "community" || !meter.value ? `${title} · WattSwap` : `${meter.value} · ${title} · WattSwap`;
});

const Header = () => html`<header class="top">
  <a class="brand" href=${link({ view: "home" })} onClick=${go}><img src="dashboard/icon.svg" alt="" width="28" height="28" />WattSwap</a>
  <${MeterPicker} />
  <span class="spring"></span>
  <${Time} /><${Connection} /><${ThemeButton} />
</header>
<nav class="views" aria-label="Views"><ul>${Object.entries(VIEWS).map(([name, [title]]) => html`<li>
  <a href=${link({ view: name })} onClick=${go} aria-current=${view.value === name ? "page" : undefined}>${title}</a>
</li>`)}</ul></nav>`;

// A few meters fit a list; of thousands the community's view is the list.
function MeterPicker() {
  const names = meters.value ?? [];
  if (names.length < 2 || names.length > 60) {
    return meter.value && html`<a class="picker" href=${link({ view: "community" })} onClick=${go}>${meter.value}</a>`;
  }
  const listed = names.includes(meter.value) || !meter.value ? names : [meter.value, ...names];
  return html`<select class="picker" aria-label="Meter" value=${meter.value} onChange=${(event) => go({
    preventDefault() {}, currentTarget: { getAttribute: () => link({ meter: event.target.value }) } })}>
    ${listed.map((name) => html`<option value=${name} selected=${name === meter.value}>${name}</option>`)}
  </select>`;
}

function Main() {
  const View = loaded.value[view.value];
  if (!(view.value in VIEWS)) return html`<${Empty}>There is no such view.<//>`;
  if (!View || !catalogue.value) return html`<${Empty}>Loading …<//>`;
  if (view.value !== "community" && !state.value) {
    return html`<${Empty}>${trouble.value ? "Nothing to show yet." : "Waiting for the meter's first message …"}<//>`;
  }
  return html`<${View} key=${`${view.value} ${view.value === "community" ? "" : meter.value}`} />`;
}

const Page = () => html`<a class="skip" href="#main">Skip to the content</a>
  <${Header} />
  <${Trouble} />
  <main id="main" tabindex="-1" class=${trouble.value ? "stale" : ""}>
    <h1 class="hidden">${VIEWS[view.value]?.[0]}${view.value === "community" || !meter.value ? "" : ` of ${meter.value}`}</h1>
    <${Main} /></main>
  <footer class="bottom">
    <a href="docs">REST</a><a href="asyncapi.json">MQTT (AsyncAPI)</a><a href="api/v1/catalogue">Catalogue</a>
    <a href="api/v1/health">Health</a><a href="metrics">Metrics</a>
  </footer>`;

effect(() => { document.documentElement.dataset.theme = theme.value; });
const root = document.getElementById("app");
root.replaceChildren();
render(html`<${Page} />`, root);
start();
