// A page that is left open: what it holds of memory, minute by minute, at one sample a second with
// all of it in view. Status 1 if it holds more in the end than once its charts were full.

import { launch } from "../clients/browser.mjs";
import { heap } from "./cost.mjs";
import { drawn, World } from "./world.mjs";

// The charts have ten minutes; the browser takes notes of what runs often for some longer.
const FULL_MINUTES = 15;
// So much from one quarter to the last one: less than one figure of each sample would be in an hour.
const GROWTH_BYTES_MAX = 100000;
// A row more or less of the process table.
const GROWTH_NODES_MAX = 40;

const minutes = Number(process.argv[2]);
const browser = await launch();
const world = new World(browser);
// Without alerts: the list of those that were would grow, as it should.
const server = await world.server({ interval: "1s" });
const page = await world.livePage(server, { height: 2400 });
const session = await page.context().newCDPSession(page);
await session.send("Performance.enable");
const kept = [];
for (let minute = 1; minute <= minutes; minute += 1) {
  await drawn(page, 60);
  // What is noted of it, here and there, is none of its own.
  page.heard.length = 0;
  await page.evaluate(() => {
    window.watched.shifts.length = 0;
  });
  kept.push(await heap(page, session));
  console.log(JSON.stringify({ minute, ...kept.at(-1) }));
}
await world.judge();
await world.close();
await browser.close();
const settled = kept.slice(FULL_MINUTES);
const length = Math.floor(settled.length / 4);
const most = (from, of) => Math.max(...settled.slice(from).slice(0, length).map((one) => one[of]));
const grown = (of) => most(-length, of) - most(0, of);
console.log(JSON.stringify({ minutes, grown_bytes: grown("bytes"), grown_nodes: grown("nodes") }));
process.exit(length > 0 && grown("bytes") < GROWTH_BYTES_MAX && grown("nodes") < GROWTH_NODES_MAX ? 0 : 1);
