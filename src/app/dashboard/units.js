// How figures are written. Owns the page's one convention: percentages with one decimal, sizes and rates in
// binary units (KiB, MiB/s), at most four characters before the unit. A figure that is not known is NONE,
// never 0: every function here takes whatever the server sent. Imports nothing.

export const NONE = "–";
const SPACE = "\u00a0";
const SIZES = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

export const known = (value) => typeof value === "number" && Number.isFinite(value);

export const ratio = (part, whole) => known(part) && known(whole) && whole > 0 ? 100 * part / whole : null;

export function percent(value) {
  if (!known(value)) return NONE;
  return value.toFixed(value < 99.95 ? 1 : 0) + SPACE + "%";
}

export function decimal(value, digits = 2) {
  return known(value) ? value.toFixed(digits) : NONE;
}

export function count(value) {
  if (!known(value)) return NONE;
  return value > 0 && value < 9.95 ? value.toFixed(1) : Math.round(value).toString();
}

// 123 456 with narrow spaces, and then 1.23 M.
export function whole(value) {
  if (!known(value)) return NONE;
  if (value >= 999.5e6) return (value / 1e9).toPrecision(3) + SPACE + "G";
  if (value >= 999.5e3) return (value / 1e6).toPrecision(3) + SPACE + "M";
  return Math.round(value).toString().replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

export function celsius(value) {
  return known(value) ? value.toFixed(0) + SPACE + "°C" : NONE;
}

// The next unit is taken at 1000, not 1024: "0.98 MiB" is shorter than "1003 KiB" and columns stay narrow.
function sizeExponent(value) {
  let exponent = 0;
  while (exponent < SIZES.length - 1 && Math.abs(value) >= 1000 * 1024 ** exponent) exponent += 1;
  return exponent;
}

function sizeNumber(value, exponent) {
  const scaled = value / 1024 ** exponent;
  return scaled.toFixed(exponent === 0 || scaled >= 99.95 ? 0 : 1);
}

export function bytes(value) {
  if (!known(value)) return NONE;
  const exponent = sizeExponent(value);
  return sizeNumber(value, exponent) + SPACE + SIZES[exponent];
}

export function rate(value) {
  return known(value) ? bytes(value) + "/s" : NONE;
}

// "1.2 of 3.7 GiB": both in the unit of the whole.
export function share(part, whole) {
  if (!known(part) || !known(whole)) return NONE;
  const exponent = sizeExponent(whole);
  return sizeNumber(part, exponent) + " of " + sizeNumber(whole, exponent) + SPACE + SIZES[exponent];
}

// The two largest parts: 12 d 4 h, 4 h 7 min, 7 min 5 s, 5 s.
export function duration(seconds) {
  if (!known(seconds)) return NONE;
  const whole = Math.max(0, Math.floor(seconds));
  const parts = [[Math.floor(whole / 86400), "d"], [Math.floor(whole / 3600) % 24, "h"],
    [Math.floor(whole / 60) % 60, "min"], [whole % 60, "s"]];
  const first = parts.findIndex(([amount]) => amount > 0);
  if (first < 0) return "0" + SPACE + "s";
  return parts.slice(first, first + 2).map((part) => part.join(SPACE)).join(" ");
}

export const clockSeconds = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
export const clockMinutes = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit" });
export const day = new Intl.DateTimeFormat([], { day: "numeric", month: "short", year: "numeric" });

// The time of day, of what was within a day; the day and the time else.
export const moment = (time) => Date.now() - time < 86400000 ? clockMinutes.format(time)
  : day.format(time) + " " + clockMinutes.format(time);

// Each kind of axis: the lowest top (so that idle noise does not fill the chart) and how a value is read out.
export const KINDS = {
  percent: { format: percent },
  rate: { format: rate, least: 10 * 1024 },
  number: { format: decimal, least: 1 },
};

// The axis that holds 0 to max: { top, step } in figures as sent, `divisor` for the labels, `unit` above them.
export function axis(kind, max) {
  if (kind === "percent") return { top: 100, step: 25, divisor: 1, unit: "%" };
  const reach = Math.max(known(max) ? max : 0, KINDS[kind].least);
  const exponent = kind === "rate" ? sizeExponent(reach) : 0;
  const divisor = 1024 ** exponent;
  const rough = reach / divisor / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].find((nice) => nice * power >= rough * 0.999999) * power * divisor;
  const top = Math.ceil(reach / step - 1e-6) * step;
  return { top, step, divisor, unit: kind === "rate" ? SIZES[exponent] + "/s" : "" };
}
