// The system's Chromium, driven by the playwright-core that the run has installed.

import { createRequire } from "node:module";

export const installed = createRequire(process.env.NODE_MODULES + "/");

export function launch(...args) {
  return installed("playwright-core").chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
      "--disable-background-networking", "--disable-component-update", ...args],
  });
}
