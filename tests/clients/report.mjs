// What a client tells drive.py, a line of JSON each, and what it asks of it; as report.py.

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

export { check, equal } from "./check.mjs";

const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

export const setting = JSON.parse(process.argv[2]);
export const certificate = setting.certificate ? readFileSync(setting.certificate) : undefined;

export function tell(fields) {
  process.stdout.write(JSON.stringify(fields) + "\n");
}

export async function ask(verb) {
  tell({ do: verb });
  await answers.next();
}

export async function step(sentence, show) {
  try {
    await show();
    tell({ ok: sentence });
  } catch (error) {
    const why = String(error?.stack ?? error) + (error?.cause ? ` (${error.cause})` : "");
    tell({ failed: sentence, why: why.slice(0, 1000) });
  }
}
