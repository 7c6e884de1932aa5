// Signing in.

import { writeFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { check, equal } from "../clients/check.mjs";
import { violations } from "./layout.mjs";
import { state } from "./world.mjs";

const TOKEN = "correct-horse-battery-staple-7";

export const tests = {
  "beside the form nothing is tried, until another page of the browser has signed in": async (
    world,
  ) => {
    const folder = await mkdtemp(join(tmpdir(), "vitald-token-"));
    try {
      await writeFile(join(folder, "token"), TOKEN + "\n", { mode: 0o600 });
      const server = await world.server({ more: ["--token-file", join(folder, "token")] });
      const page = await world.page(server, { clock: true });
      world.allow(page, /401|WebSocket connection to .* failed/);
      await page.getByLabel(/token/i).first().waitFor();
      await state(page, "Sign in");
      const sockets = [];
      page.on("websocket", (socket) => sockets.push(socket.url()));
      await page.clock.fastForward(3600000);
      await page.clock.runFor(2000);
      equal(sockets, []);
      const status = await page.evaluate(async (token) => {
        const headers = { Authorization: "Bearer " + token };
        return (await fetch("api/v1/session", { method: "POST", headers })).status;
      }, TOKEN);
      equal(status, 204);
      await page.evaluate(() => window.dispatchEvent(new Event("online")));
      await state(page, "Live");
      check(await page.getByLabel(/token/i).first().isHidden(), "the form stays");
    } finally {
      await rm(folder, { recursive: true });
    }
  },

  "a server with a token lets a viewer in who has it, and no other": async (world) => {
    const folder = await mkdtemp(join(tmpdir(), "vitald-token-"));
    try {
      await writeFile(join(folder, "token"), TOKEN + "\n", { mode: 0o600 });
      const server = await world.server({ more: ["--token-file", join(folder, "token")] });
      const page = await world.page(server);
      // The browser itself reports each request that was refused.
      world.allow(page, /401|WebSocket connection to .* failed/);
      const field = page.getByLabel(/token/i).first();
      await field.waitFor();
      check(!/\d\s*%/.test(await page.textContent("#tiles")), "figures are shown before the token");
      await field.fill("not-the-token");
      await field.press("Enter");
      await page.getByText(/this token is not/i).waitFor();
      for (const colorScheme of ["light", "dark"]) {
        await page.emulateMedia({ colorScheme });
        await violations(page, `the form, ${colorScheme}`);
      }
      await field.fill(TOKEN);
      await field.press("Enter");
      await state(page, "Live");
      check(await field.isHidden(), "the field stays");
      equal(await field.inputValue(), "");
      check(!page.url().includes(TOKEN), "the token is in the address", page.url());
      const host = await page.evaluate(() => document.activeElement.id);
      equal(host, "host");
      await page.reload();
      await state(page, "Live");
      const other = await page.context().newPage();
      await other.goto(server.url);
      await state(other, "Live");
      const kept = await page.evaluate(
        () => document.cookie + JSON.stringify({ ...localStorage, ...sessionStorage }),
      );
      check(!kept.includes(TOKEN), "the page can read the token", kept);
      await page.getByRole("button", { name: "Sign out" }).click();
      await page.getByLabel(/token/i).first().waitFor();
      check(await page.getByRole("button", { name: "Sign out" }).isHidden(), "the button stays");
      await other
        .getByLabel(/token/i)
        .first()
        .waitFor();
    } finally {
      await rm(folder, { recursive: true });
    }
  },
};
