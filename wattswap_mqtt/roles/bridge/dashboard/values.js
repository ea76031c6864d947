// Everything that the meter reports, section by section.
import { catalogue, display } from "./catalogue.js";
import { state, truth } from "./live.js";
import { Card, html, signal, words } from "./ui.js";

const wanted = signal("");

export default function Values() {
  const needle = wanted.value.trim().toLowerCase();
  const fits = (one) => !needle || `${one.title} ${one.path} ${one.meaning}`.toLowerCase().includes(needle);
  const sections = catalogue.value.sections.map((section) => ({
    ...section, quantities: catalogue.value.quantities.filter((one) => one.section === section.name && fits(one)),
  })).filter(({ quantities }) => quantities.length);
  return html`<div class="toolbar"><label class="search"><span class="hidden">Search quantities</span>
      <input type="search" placeholder="Search quantities" value=${wanted.value} onInput=${(event) => { wanted.value = event.target.value; }} /></label>
      <${Hardware} /></div>
    <div class="columns">${sections.map(({ name, meaning, quantities }) => html`<${Card} key=${name} id=${`section-${name}`} title=${words(name)}>
      <p class="about">${meaning}</p>
      <table class="values"><tbody>${quantities.map(({ path, title, meaning: about }) => {
        const { text, unit } = display(path, state.value);
        return html`<tr data-path=${path} title="${path}: ${about}"><th scope="row">${title}</th><td>${text} <small>${unit}</small></td></tr>`;
      })}</tbody></table>
    <//>`)}</div>
    ${truth.value && html`<p class="about">A fault is active: some of this is not true. See Faults.</p>`}`;
}

const Hardware = () => html`<p class="about">${Object.entries(state.value.hardware ?? {}).map(([name, value]) => `${words(name)}: ${value}`).join(" · ")}</p>`;
