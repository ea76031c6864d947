// The first view: what happens now, what it adds up to, and what one can do about it.
import { Controls } from "./controls.js";
import { Events } from "./events.js";
import { Flow } from "./flow.js";
import { History } from "./history.js";
import { Scenarios } from "./scenarios.js";
import { Status } from "./status.js";
import { Totals } from "./totals.js";
import { Card, html } from "./ui.js";

export const Home = () => html`<div class="cards home">
  <${Card} id="now" title="Now" className="now"><${Status} /><${Flow} /><//>
  <${History} />
  <${Card} id="totals" title="Totals" className="totals"><${Totals} /><//>
  <${Card} id="controls" title="Controls" className="controls-card"><${Controls} /><//>
  <${Card} id="scenarios" title="Scenarios" className="scenarios-card"><${Scenarios} /><//>
  <${Card} id="events" title="Events" className="events-card"><${Events} /><//>
</div>`;
