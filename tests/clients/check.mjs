// What is as it should be, or an error that says what was found.

export function check(isRight, ...told) {
  if (!isRight) throw new Error(told.map((one) => JSON.stringify(one)).join(" ").slice(0, 700));
}

export function equal(found, expected) {
  check(JSON.stringify(found) === JSON.stringify(expected), found, "is not", expected);
}
