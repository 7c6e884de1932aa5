// Whether the page shows what the server measures.

import { check, equal } from "../clients/check.mjs";
import { agrees, NONE, read } from "./reading.mjs";
import { until } from "./server.mjs";
import { chart, drawn, frames, ink, part, samples } from "./world.mjs";

// All that the page shows at one moment, by headings and labels.
const reading = (page) =>
  page.evaluate(() => {
    const text = (node) => node?.textContent.trim() ?? null;
    // A heading may have a note behind it.
    const title = (node) => text(node.querySelector("h2").firstChild);
    const below = (place) =>
      [...document.querySelectorAll(`#${place} > *`)].filter((one) => one.getClientRects().length);
    const pairs = (node) =>
      Object.fromEntries(
        [...node.querySelectorAll("dt")].map((term) => [
          text(term),
          text(term.parentNode.querySelector("dd")),
        ]),
      );
    return {
      tiles: Object.fromEntries(
        below("tiles").map((node) => [
          title(node),
          {
            figure: text(node.querySelector(".figure")),
            detail: text(node.querySelector(".detail")),
            note: text(node.querySelector("h2 small")),
            ...pairs(node),
          },
        ]),
      ),
      charts: Object.fromEntries(below("charts").map((node) => [title(node), pairs(node)])),
      cores: [...document.querySelectorAll("[aria-label=Cores] .value")].map(text),
      tables: Object.fromEntries(
        [...document.querySelectorAll("table")].map((table) => [
          table.getAttribute("aria-label"),
          [...table.tBodies[0].rows].map((row) =>
            [...row.cells].map((cell) => text(cell.querySelector(".value") ?? cell)),
          ),
        ]),
      ),
    };
  });

const newest = (page) =>
  page.heard.findLast(
    ({ type, sub }) =>
      type === "hello" || (type === "metrics" && (sub === undefined || sub === "default")),
  );

// What the page shows of the sample that the server also gives by HTTP, both before the next one.
async function both(page, server) {
  return until(async () => {
    await frames(page);
    const before = newest(page);
    const shown = await reading(page);
    const snapshot = await server.snapshot();
    const seq = before.seq ?? before.snapshot.seq;
    return (
      newest(page) === before &&
      snapshot.seq === seq && { shown, snapshot, isFirst: before.type === "hello" }
    );
  }, "moment at which the page and the server have one sample");
}

const named = (list, names, field) =>
  list.filter(({ name }) => names.includes(name)).reduce((sum, one) => sum + one[field], 0);

function fast({ shown, snapshot: { cpu, memory, load, disks, networks, system } }) {
  const { tiles, charts, tables } = shown;
  agrees("CPU", tiles.CPU.figure, cpu.usage);
  agrees("Memory", tiles.Memory.figure, memory.usage);
  agrees("Memory", tiles.Memory.detail, memory.used, memory.total);
  if (memory.swap_total) agrees("Swap", tiles.Swap.figure, memory.swap_usage);
  else
    check(
      [NONE, "none"].includes(tiles.Swap.figure),
      "swap that is not there is",
      tiles.Swap.figure,
    );
  agrees("Load", tiles.Load.figure, load.one);
  agrees("chart of CPU", charts.CPU.total, cpu.usage);
  agrees("chart of CPU", charts.CPU.system, cpu.system);
  agrees("chart of CPU", charts.CPU["I/O wait"], cpu.iowait);
  agrees("chart of memory", charts.Memory["in use"], memory.usage);
  // With more of them only the bars are shown.
  if (cpu.cores.length <= 32) equal(shown.cores.length, cpu.cores.length);
  shown.cores.forEach((text, index) => agrees("core " + index, text, cpu.cores[index]));
  const uptime = read(tiles.Uptime.figure.replace(/min/, "m"));
  equal(
    uptime[0].value,
    [86400, 3600, 60, 1].map((unit) => Math.floor(system.uptime_s / unit)).find((some) => some > 0),
  );
  for (const [heading, list, first, second] of [
    ["Disk I/O", disks, ["read", "read_bytes_per_s"], ["write", "write_bytes_per_s"]],
    ["Network", networks, ["in", "rx_bytes_per_s"], ["out", "tx_bytes_per_s"]],
  ]) {
    const names = tiles[heading].note.split(", ");
    for (const [label, field] of [first, second]) {
      const expected = list.length ? named(list, names, field) : null;
      agrees(`${heading}, ${label}`, tiles[heading][label], expected);
      agrees(`chart of ${heading}, ${label}`, charts[heading][label], expected);
    }
    const rows = tables[heading === "Network" ? "Interfaces" : "Disks"];
    list.forEach((one, index) => {
      equal(rows[index][0], one.name);
      agrees(one.name, rows[index][1], one[first[1]]);
      agrees(one.name, rows[index][2], one[second[1]]);
    });
  }
}

// What the server sends every ten seconds: as it was in the greeting.
function slow({ shown, snapshot: { filesystems } }) {
  const rows = shown.tables.Filesystems;
  equal(rows.length, filesystems.length);
  filesystems.forEach((one, index) => {
    equal(rows[index][0], one.mount);
    agrees(one.mount, rows[index][2], one.usage);
    agrees(one.mount, rows[index][3], one.available);
    agrees(one.mount, rows[index][4], one.total);
  });
  const root = filesystems.find(({ mount }) => mount === "/") ?? filesystems[0];
  if (root) agrees("filesystem", shown.tiles.Filesystem.figure, root.usage);
}

// Where there is none. A host may have no swap, disk or network, and a tick too short for a figure.
function absent({ tiles, charts }, { memory, disks, networks }) {
  const none = {
    Swap: memory.swap_usage === null,
    swap: memory.swap_usage === null,
    "Disk I/O": !disks.length,
    Network: !networks.length,
  };
  return [tiles, charts]
    .flatMap(Object.entries)
    .flatMap(([heading, { detail, note, ...figures }]) =>
      Object.entries(figures)
        .filter(([label, text]) => text === NONE && !none[heading] && !none[label])
        .map(([label]) => `${heading}: ${label}`),
    );
}

export const tests = {
  "a filesystem that is nearly full is told of, though no rule watches it": async (world) => {
    const server = await world.server();
    await server.sampled(3);
    const full = (sample) => {
      const first = sample?.filesystems?.[0];
      if (first) Object.assign(first, { mount: "/data", usage: 99.6 });
    };
    const page = await world.livePage(server, {
      change: (message) => {
        full(message.snapshot);
        full(message);
        return message;
      },
    });
    await page.locator("#health").filter({ hasText: "Nearly full/data is 99.6\u00a0% full" }).waitFor();
  },

  "every tile has a figure where the server has one, and every chart a line": async (world) => {
    const server = await world.server();
    await server.sampled(20);
    const page = await world.livePage(server);
    await drawn(page, 3);
    let missing;
    await until(
      async () => (missing = absent(await reading(page), await server.snapshot())).length === 0,
      "figure everywhere",
    ).catch(() => equal(missing, []));
    const { tiles, charts } = await reading(page);
    check(Object.keys(tiles).length >= 8, "tiles:", Object.keys(tiles));
    equal(Object.keys(charts).slice(0, 4), ["CPU", "Memory", "Disk I/O", "Network"]);
    for (const heading of ["CPU", "Memory"]) {
      const { count, last } = await ink(chart(page, heading));
      check(count > 10 && last > 0.95, heading, "has", count, "columns with a line, up to", last);
    }
  },

  "the greeting alone draws the page, its past too": async (world) => {
    const server = await world.server();
    await server.sampled(25);
    const page = await world.livePage(server, {
      change: (message) => {
        if (message.type === "metrics") delete message.memory;
        return message;
      },
    });
    const tile = await part(page, "tiles", "Memory").textContent();
    check(/\d\s*%/.test(tile), "the tile of memory is", tile);
    await until(
      async () => (await ink(chart(page, "Memory"))).count > 10,
      "line in the chart of memory",
    );
  },

  "the figures are those of /api/v1/snapshot, from the greeting on": async (world) => {
    const server = await world.server({ interval: "1s" });
    await server.sampled(3);
    const page = await world.livePage(server);
    const first = await both(page, server);
    fast(first);
    if (first.isFirst) slow(first);
    for (let more = 0; more < 3; more += 1) {
      await drawn(page);
      fast(await both(page, server));
    }
    world.note(
      `compared ${first.isFirst ? "the greeting" : "a sample"} and ${samples(page).length} samples`,
    );
  },

  "each of very many cores has a bar, and says under the pointer which one it is": async (world) => {
    const server = await world.server();
    const usages = Array.from({ length: 256 }, (_, index) => index % 100);
    usages[3] = null;
    usages[130] = 100;
    const page = await world.livePage(server, {
      height: 2400,
      change: (message) => {
        if (message.type !== "hello") return null;
        message.snapshot.cpu.cores = usages;
        return message;
      },
    });
    const bars = page.locator("#cores [role=img]");
    equal(await bars.getAttribute("aria-label"), "256, busiest is 130 at 100\u00a0%");
    const line = await bars.locator("path").last().getAttribute("d");
    const heights = [...line.matchAll(/v-([\d.]+)/g)].map(([, height]) => Number(height));
    equal(heights.length, usages.length);
    const full = heights[130];
    heights.forEach((height, core) =>
      check(Math.abs(height / full - (usages[core] ?? 0) / 100) < 0.002, core, "has", height),
    );
    // Four rows of 64.
    const { x, y, width, height } = await bars.boundingBox();
    for (const [row, column, text] of [
      [0, 0, "core 0: 0.0\u00a0%"],
      [0, 3, "core 3: " + NONE],
      [2, 2, "core 130: 100\u00a0%"],
      [3, 63, "core 255: 55.0\u00a0%"],
    ]) {
      await page.mouse.move(x + (width * (column + 0.5)) / 64, y + (height * (row + 0.5)) / 4);
      equal(await bars.getAttribute("title"), text);
    }
  },

  "a figure that is missing is a dash and a gap, never a zero": async (world) => {
    const server = await world.server();
    await server.sampled(20);
    let isMissing = false;
    const page = await world.livePage(server, {
      change: (message) => {
        if (isMissing && message.memory) message.memory.usage = null;
        return message;
      },
    });
    await drawn(page, 10);
    isMissing = true;
    await drawn(page, 30);
    const { figure } = (await reading(page)).tiles.Memory;
    equal(figure, NONE);
    isMissing = false;
    await drawn(page, 5);
    const { holes } = await ink(chart(page, "Memory"));
    equal(holes.length, 1);
  },
};
