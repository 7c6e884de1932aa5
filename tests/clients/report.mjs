// What a client tells drive.py, a line of JSON each, and what it asks of it; as report.py.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

export const setting = JSON.parse(process.argv[2]);
export const certificate = setting.certificate ? readFileSync(setting.certificate) : undefined;
// From where tests/clients/run has installed it.
export const installed = createRequire(process.env.NODE_MODULES + "/");

export function tell(fields) {
  process.stdout.write(JSON.stringify(fields) + "\n");
}

export async function ask(verb) {
  tell({ do: verb });
  await answers.next();
}

export function check(isRight, ...told) {
  if (!isRight) throw new Error(told.map((one) => JSON.stringify(one)).join(" ").slice(0, 700));
}

export function equal(found, expected) {
  check(JSON.stringify(found) === JSON.stringify(expected), found, "is not", expected);
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
