// Whether what the page asks the server for is shown: processes, alerts, and the server's own signs.

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { check, equal } from "../clients/check.mjs";
import { read } from "./reading.mjs";
import { until } from "./server.mjs";
import { drawn, part } from "./world.mjs";

const rule = (above) => `[[alert]]
name = "full"
metric = "memory.usage"
above = ${above}
hold = "0s"
severity = "critical"
`;

const rowsOf = (table) =>
  table.evaluate((node) =>
    [...node.querySelectorAll("tbody tr")].map((row) =>
      [...row.cells].map((cell) => cell.textContent.trim()),
    ),
  );

export const tests = {
  "processes are those of this host, found by a filter and sorted by a press": async (world) => {
    const server = await world.server();
    await server.sampled(5);
    const page = await world.livePage(server, { height: 2400 });
    const table = part(page, "panels", "Processes");
    const pid = String(server.child.pid);
    const filter = table.getByRole("searchbox");
    await filter.fill(pid);
    await until(
      async () => (await rowsOf(table)).some((cells) => cells.includes(pid)),
      "row of vitald",
    );
    const own = (await rowsOf(table)).find((cells) => cells.includes(pid));
    equal(own[0], "vitald");
    await filter.fill("");
    await table.getByRole("button", { name: "Memory" }).click();
    await table.locator("[aria-sort=descending]").filter({ hasText: "Memory" }).waitFor();
    const place = await table.evaluate((node) =>
      [...node.querySelectorAll("th")].findIndex((head) => /Memory/.test(head.textContent)),
    );
    await until(async () => {
      const sizes = (await rowsOf(table)).map((cells) => read(cells[place])[0]?.value ?? -1);
      const isSorted = sizes.every((size, index) => index === 0 || size <= sizes[index - 1]);
      return sizes.length > 3 && sizes[0] > 0 && isSorted;
    }, "order by memory");
    await filter.fill("no process has this name");
    await table.getByText("none of these").waitFor();
    check(
      (await rowsOf(table)).every((cells) => cells.length < 2),
      "rows:",
      await rowsOf(table),
    );
  },

  "an alert is told at the top and at its tile, and when it is over it is past": async (world) => {
    const folder = await mkdtemp(join(tmpdir(), "vitald-rules-"));
    try {
      const config = join(folder, "vitald.toml");
      await writeFile(config, rule(0));
      const server = await world.server({ config });
      const page = await world.livePage(server, { height: 2400 });
      const health = page.locator("#health");
      await health.filter({ hasText: /memory usage above 0/i }).waitFor();
      equal(await health.getAttribute("data-severity"), "critical");
      const tile = part(page, "tiles", "Memory");
      check(/critical/i.test(await tile.textContent()), "the tile is", await tile.textContent());
      const panel = part(page, "panels", "Alerts");
      await panel
        .getByText(/memory usage above 0/i)
        .first()
        .waitFor();
      await writeFile(config, rule(99.9));
      server.signal("SIGHUP");
      await health.filter({ hasText: /all well/i }).waitFor();
      await panel
        .getByText(/memory usage above 0/i)
        .first()
        .waitFor();
      check(!/critical/i.test(await tile.textContent()), "the tile is", await tile.textContent());
      server.signal("SIGSTOP");
      await health.filter({ hasText: /not known/i }).waitFor();
    } finally {
      await rm(folder, { recursive: true });
    }
  },

  "vitald's own signs are those of /api/v1/server": async (world) => {
    const server = await world.server();
    await server.sampled(5);
    const page = await world.livePage(server, { height: 2400 });
    await drawn(page, 5);
    const panel = part(page, "panels", "vitald itself");
    const sign = (label) =>
      panel.evaluate((node, wanted) => {
        const term = [...node.querySelectorAll("dt")].find((one) => one.textContent === wanted);
        return term.parentNode.querySelector("dd").textContent;
      }, label);
    const asked = async () => JSON.parse((await server.get("api/v1/server")).body).connections;
    // The page asks again every few seconds.
    await until(async () => (await sign("peak")) === String((await asked()).peak), "agreement");
    check(read(await sign("active"))[0].value >= 1, "active:", await sign("active"));
    check(/[KM]iB/.test(await sign("memory")), "memory:", await sign("memory"));
  },
};
