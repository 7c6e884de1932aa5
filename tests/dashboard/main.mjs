// Runs the tests, four at a time, and prints a line for each: those that take longest go first.

import { launch } from "../clients/browser.mjs";
import { World } from "./world.mjs";
import * as suites from "./suites.mjs";

const LANES = 4;
const TEST_MS_MAX = 90000;

const pattern = new RegExp(process.argv[2] ?? "", "i");
const waiting = Object.values(suites)
  .flatMap((suite) => Object.entries(suite))
  .filter(([sentence]) => pattern.test(sentence));
const browser = await launch();
const began = Date.now();
const done = { passed: 0, failed: 0 };

async function run(sentence, test) {
  const world = new World(browser);
  const started = Date.now();
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`takes more than ${TEST_MS_MAX} ms`)), TEST_MS_MAX);
  });
  let told = "ok     ";
  let why = "";
  try {
    await Promise.race([test(world).then(() => world.judge()), late]);
  } catch (error) {
    told = "FAILED ";
    why =
      "\n" +
      String(error?.stack ?? error)
        .slice(0, 1500)
        .replace(/^/gm, "    ");
  }
  clearTimeout(timer);
  await world.close();
  done[told.trim() === "ok" ? "passed" : told.trim().toLowerCase()] += 1;
  const notes = world.notes.map((note) => `\n    ${note}`).join("");
  console.log(
    `${told} ${sentence} (${((Date.now() - started) / 1000).toFixed(1)} s)${notes}${why}`,
  );
}

async function lane() {
  for (let next = waiting.shift(); next; next = waiting.shift()) await run(...next);
}

process.on("SIGTERM", () => process.exit(2));
process.on("SIGINT", () => process.exit(2));
await Promise.all(Array.from({ length: LANES }, lane));
await browser.close();
const seconds = ((Date.now() - began) / 1000).toFixed(0);
console.log(`${done.passed} passed, ${done.failed} failed (${seconds} s)`);
process.exit(done.failed || !done.passed ? 1 : 0);
