// Faults of the meter: inject them, and see the truth beside what is measured.
import { at, catalogue, display } from "./catalogue.js";
import { Refusal, useSwitch } from "./controls.js";
import { measured as said, switches, truth } from "./live.js";
import { bound, Card, Empty, html, useEffect, useState } from "./ui.js";

export default function Faults() {
  return html`<div class="cards">
    <${Card} id="inject" title="Inject faults" className="half"><${Form} /><//>
    <${Card} id="truth" title="Measured, and true" className="half"><${Truth} /><//>
  </div>`;
}

function Form() {
  const active = switches.value?.fault_inject ?? {};
  const [draft, setDraft] = useState(active);
  const [fate, set] = useSwitch("fault_inject");
  const told = JSON.stringify(active);
  useEffect(() => setDraft(active), [told]); // whoever set it
  const change = (key, value) => {
    const { [key]: _, ...others } = draft;
    setDraft(value === undefined ? others : { ...others, [key]: value });
  };
  return html`<form onSubmit=${(event) => { event.preventDefault(); set(draft); }} noValidate>
    <ul class="faults">${catalogue.value.faults.map((fault) => html`<li key=${fault.key} data-fault=${fault.key} class=${fault.key in active ? "active" : ""}>
      <${Field} ...${fault} name=${fault.key} value=${draft[fault.key]} set=${(value) => change(fault.key, value)} /></li>`)}</ul>
    <p class="buttons"><button class="button primary" disabled=${fate.pending}>Inject</button>
      <button type="button" class="button" onClick=${() => set({})} disabled=${!Object.keys(active).length && !Object.keys(draft).length}>End all faults</button></p>
    <${Refusal} text=${fate.refused} id="fault-refusal" />
    <p class="about">In force: <code data-role="faults">${told}</code></p>
  </form>`;
}

function Field({ name, title, kind, meaning, unit, minimum, maximum, value, set }) {
  const id = `fault-${name}`;
  const input = {
    bool: () => html`<input id=${id} type="checkbox" checked=${value === true} onChange=${(event) => set(event.target.checked || undefined)} />`,
    number: () => html`<input id=${id} type="number" step="any" placeholder="–" value=${value ?? ""}
      onInput=${(event) => set(event.target.value === "" ? undefined : Number(event.target.value))} />`,
    fields: () => html`<input id=${id} type="text" placeholder="–" value=${(value ?? []).join(", ")}
      onChange=${(event) => set(event.target.value.split(",").map((one) => one.trim()).filter(Boolean))} />`,
  }[kind]();
  return html`<div class="control-row"><label class="label" for=${id}>${title}</label>
      <span class="field">${input}<span class="unit">${unit ?? ""}</span></span></div>
    <p class="about">${meaning}${kind === "number" ? `, ${bound(minimum)} to ${bound(maximum)}` : ""}</p>`;
}

// Only what differs: the rest is said rightly.
function Truth() {
  if (!truth.value) return html`<${Empty}>No fault is active: what the meter says is true.<//>`;
  const differs = catalogue.value.quantities.filter(({ path }) =>
    JSON.stringify(at(said.value, path)) !== JSON.stringify(at(truth.value, path)));
  if (!differs.length) return html`<${Empty}>A fault is active, and nothing it says is wrong at this moment.<//>`;
  return html`<div class="scroll" tabindex="0" role="group" aria-label="Measured and true values"><table>
    <thead><tr><th scope="col">quantity</th><th scope="col">measured</th><th scope="col">true</th><th scope="col">ratio</th></tr></thead>
    <tbody>${differs.map(({ path, title, kind }) => {
      const measured = at(said.value, path), real = at(truth.value, path);
      const ratio = kind === "number" && Math.abs(real) > 1e-3 && measured !== null ? (measured / real).toFixed(2) : "–";
      const { text, unit } = display(path, said.value);
      return html`<tr data-differs=${path}><th scope="row">${title}</th><td class="wrong">${text} <small>${unit}</small></td>
        <td>${display(path, truth.value).text} <small>${unit}</small></td><td>${ratio}</td></tr>`;
    })}</tbody></table></div>`;
}
