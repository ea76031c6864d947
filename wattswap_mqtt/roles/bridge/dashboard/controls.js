// Every switch, from its declaration: kind, range, unit and words. What stands there is what the meter says.
import { post } from "./api.js";
import { catalogue } from "./catalogue.js";
import { meter, switches } from "./live.js";
import { bound, html, useState } from "./ui.js";

// Sends a command and keeps what became of it: pending, or the refusal in the device's words.
export function useCommand() {
  const [fate, setFate] = useState({});
  const send = async (path, body) => {
    setFate({ pending: true });
    try {
      const result = await post(path, body);
      setFate({ done: true });
      return result;
    } catch (error) {
      setFate({ refused: error.message });
      return null;
    }
  };
  return [fate, send];
}

// Sets a switch; what the meter answers stands there before it is told again.
export function useSwitch(name) {
  const [fate, send] = useCommand();
  const set = async (value) => {
    const answer = await send("control/switch", { meter_id: meter.value, switch: name, value });
    if (answer) switches.value = { ...switches.value, [name]: answer.value };
  };
  return [fate, set];
}

export const Refusal = ({ text, id }) => html`<p class="refusal" id=${id} role="status">${text}</p>`;

export function Switch({ declared }) {
  const { name, title, meaning, kind } = declared;
  const [fate, set] = useSwitch(name);
  const told = switches.value?.[name];
  const Widget = { bool: Bool, number: Range, choice: Choice }[kind];
  const about = `${name}-about`, refusal = `${name}-refusal`;
  return html`<div class="control ${kind} ${fate.pending ? "pending" : ""}" data-switch=${name} data-value=${JSON.stringify(told)}>
    <${Widget} ...${declared} told=${told} set=${set} pending=${fate.pending} described="${about} ${refusal}" />
    <p class="about" id=${about}>${meaning}</p>
    <${Refusal} text=${fate.refused} id=${refusal} />
  </div>`;
}

const Bool = ({ name, title, told, set, described }) => html`<div class="control-row">
  <span class="label" id=${`${name}-label`}>${title}</span>
  <button type="button" role="switch" class="toggle" aria-checked=${told === true} aria-labelledby=${`${name}-label`}
    aria-describedby=${described} disabled=${told === undefined} onClick=${() => set(!told)}><span></span></button>
</div>`;

// A slider, and a field for the exact number; the device says what it thinks of one out of range.
function Range({ name, title, unit, minimum, maximum, step, told, set, described }) {
  const [draft, setDraft] = useState(null);
  const shown = draft ?? told ?? "";
  const commit = (event) => { set(event.target.value === "" ? null : Number(event.target.value)); setDraft(null); };
  const field = (type) => html`<input type=${type} id=${`${name}-${type}`} name=${name} value=${shown} step=${type === "range" ? step : "any"}
    min=${type === "range" ? minimum : undefined} max=${type === "range" ? maximum : undefined} disabled=${told === undefined}
    aria-label=${type === "range" ? `${title}${unit ? `, ${unit}` : ""}` : undefined} aria-describedby=${described}
    onInput=${(event) => setDraft(event.target.value)} onChange=${commit} />`;
  return html`<div class="control-row">
    <label class="label" for=${`${name}-number`}>${title}</label>
    <span class="field">${field("number")}<span class="unit">${unit ?? ""}</span></span>
  </div>
  <div class="slider">${field("range")}<span class="ends" aria-hidden="true"><span>${bound(minimum)}</span><span>${bound(maximum)}</span></span></div>`;
}

const Choice = ({ name, title, options, told, set, described }) => html`<fieldset class="choice" aria-describedby=${described}>
  <legend class="label">${title}</legend>
  <div class="segments">${options.map((option) => html`<label class=${told === option ? "on" : ""}>
    <input type="radio" name=${name} value=${option} checked=${told === option} disabled=${told === undefined} onChange=${() => set(option)} />${option}
  </label>`)}</div>
</fieldset>`;

export function Controls() {
  const declared = catalogue.value.switches.filter((one) => one.kind !== "faults"); // they have a view of their own
  const plain = declared.filter((one) => !one.is_setting), settings = declared.filter((one) => one.is_setting);
  return html`<div class="controls">${plain.map((one) => html`<${Switch} key=${one.name} declared=${one} />`)}</div>
    <h3>Simulation</h3>
    <div class="controls">${settings.map((one) => html`<${Switch} key=${one.name} declared=${one} />`)}</div>`;
}
