// Dark or light: as the system says, until somebody chooses.
import { computed, html, signal, SUN } from "./ui.js";

const KEY = "wattswap-theme";
const dark = matchMedia("(prefers-color-scheme: dark)");
const system = signal(dark.matches ? "dark" : "light");
dark.addEventListener("change", () => { system.value = dark.matches ? "dark" : "light"; });

const remembered = () => { try { return localStorage.getItem(KEY); } catch { return null; } };
const chosen = signal(remembered());
export const theme = computed(() => chosen.value ?? system.value);

function toggle() {
  chosen.value = theme.value === "dark" ? "light" : "dark";
  try { localStorage.setItem(KEY, chosen.value); } catch { /* then it holds until the page is left */ }
}

export const ThemeButton = () => html`<button type="button" class="icon-button" onClick=${toggle}
  aria-label=${theme.value === "dark" ? "Use light colours" : "Use dark colours"}>
  <svg viewBox="0 0 24 24" width="20" height="20" aria-hidden="true"><path d=${theme.value === "dark"
    ? SUN
    : "M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5z"} /></svg>
</button>`;

// A colour of the style sheet, for what is drawn on a canvas.
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
