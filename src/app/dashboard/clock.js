// The time that passes here: for ages, waits and deadlines. Imports nothing.

// Wall clocks are set, back too, so none is compared with itself. But the browser's own clock that only rises may stand
// still while the computer sleeps: what was heard before would then be as young as when the lid was closed, called live,
// and its connection, dead long since, trusted. So a wall clock that is suddenly ahead counts as time that has passed.
// If it was only set, everything looks old for a moment: what lives says so with the next sample, or answers a ping.
const SLEPT_MS_MIN = 10000;

let aheadMs = 0;
let sleptMs = 0;

// Milliseconds since some moment; never falls. To be asked often, or a sleep is not noticed.
export function elapsedMs() {
  const before = aheadMs;
  aheadMs = Date.now() - performance.now();
  if (before && aheadMs - before > SLEPT_MS_MIN) sleptMs += aheadMs - before;
  return performance.now() + sleptMs;
}
