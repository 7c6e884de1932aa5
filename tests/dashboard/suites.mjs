// All tests, by what they are about; those that take longest first.

export { tests as cost } from "./cost.mjs";
export { tests as ranges } from "./ranges.mjs";
export { tests as asking } from "./asking.mjs";
export { tests as live } from "./live.mjs";
export { tests as hosts } from "./hosts.mjs";
export { tests as layout } from "./layout.mjs";
export { tests as panels } from "./panels.mjs";
export { tests as figures } from "./figures.mjs";
export { tests as safety } from "./safety.mjs";
export { tests as keyboard } from "./keyboard.mjs";
export { tests as access } from "./access.mjs";
