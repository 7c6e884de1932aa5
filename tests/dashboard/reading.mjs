// Figures as people read them.

import { check, equal } from "../clients/check.mjs";

export const NONE = "\u2013";
const UNITS = { B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40, PiB: 2 ** 50 };

// The figures of a text, each with what rounding may have taken: "1.2 of 3.7 GiB" is two.
export function read(text) {
  const found = [...text.matchAll(/(-?\d+(?:\.(\d+))?)(?:\s*([KMGTP]?i?B)\b)?/g)];
  return found.map(([, number, decimals = ""], index) => {
    const unit = UNITS[found.slice(index).find((one) => one[3])?.[3]] ?? 1;
    return { value: Number(number) * unit, tolerance: 0.501 * unit * 10 ** -decimals.length };
  });
}

export function agrees(what, text, ...expected) {
  if (expected.every((one) => one === null || one === undefined))
    return equal([what, text], [what, NONE]);
  const figures = read(text);
  check(figures.length >= expected.length, what, text, "should be", expected);
  expected.forEach((one, index) => {
    const { value, tolerance } = figures[index];
    check(Math.abs(value - one) <= tolerance, what, text, "should be", expected);
  });
}
