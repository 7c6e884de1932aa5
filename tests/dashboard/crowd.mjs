// The messages of a real server, with a host in them that is larger and stranger than any test has.

export const MARKUP = '<img src=x onerror="window.hostile=1"><script>window.hostile=1</script>';

const LONG = "an-uncommonly-long-name-without-any-place-to-break-it-".repeat(3);
const times = (count, make) => Array.from({ length: count }, (_, index) => make(index));

// Calls `change(sample)` for each sample that a message brings.
function eachSample(message, change) {
  if (message.type === "hello" && message.snapshot) change(message.snapshot);
  if (message.type === "metrics") change(message);
  if (message.type === "batch") message.samples.forEach(change);
  return message;
}

// Rows that are there, so often, under names of their own.
const rows = (list, count, names) =>
  list && times(count, (index) => ({ ...list[index % list.length], ...names(index) }));

const alert = (severity, index) => ({
  rule: `rule-${index}-${LONG}`,
  metric: "memory.usage",
  state: "firing",
  value: 91.5,
  threshold: 90,
  since: Date.now(),
  severity,
});

export function crowded(message) {
  if (message.type === "hello") {
    message.host = { ...message.host, name: "host-" + LONG, cpu_model: "Processor " + LONG };
    message.alerts = ["info", "warning", "critical"].map(alert);
  }
  if (message.type === "processes" && message.rows?.length) {
    message.rows = rows(message.rows, message.rows.length, () => ({ name: LONG, command: LONG }));
  }
  return eachSample(message, (sample) => {
    if (sample.cpu?.cores) sample.cpu.cores = times(256, (index) => index % 101);
    sample.filesystems &&= rows(sample.filesystems, 60, (index) => ({
      mount: `/srv/${index}/${LONG}`,
      usage: index,
    }));
    sample.disks &&= rows(sample.disks, 40, (index) => ({ name: `disk${index}-${LONG}` }));
    sample.networks &&= rows(sample.networks, 40, (index) => ({
      name: `net${index}-${LONG}`,
      rx_bytes_per_s: 10 ** (index % 13),
    }));
    sample.temperatures &&= times(30, (index) => ({
      sensor: `sensor${index}-${LONG}`,
      label: index % 2 ? LONG : null,
      celsius: 20 + index,
      high: 80,
      critical: 100,
    }));
  });
}

// The same host at work: each core, disk and interface has another figure in each sample.
export function crowdedAndBusy(message) {
  return eachSample(crowded(message), (sample) => {
    const turn = sample.seq ?? 0;
    const moved = (index) => 1000 * ((37 * turn + 11 * index) % 997);
    if (sample.cpu?.cores) sample.cpu.cores = times(256, (index) => (moved(index) / 1000) % 101);
    sample.disks?.forEach((disk, index) => {
      disk.read_bytes_per_s = moved(index);
      disk.write_bytes_per_s = moved(index + 1);
      disk.utilisation = moved(index) / 10000;
    });
    sample.networks?.forEach((network, index) => {
      network.rx_bytes_per_s = moved(index);
      network.tx_bytes_per_s = moved(index + 2);
    });
  });
}

// What the page and the server tell things apart by: it must come through as it is.
const KEPT = ["type", "sub", "id", "topics", "state", "severity", "what", "code", "unit", "sort"];

// Markup behind every text that a host or a server can choose.
export function hostile(message) {
  const change = (value, key, isAlert) => {
    if (typeof value === "string")
      return KEPT.includes(key) || (key === "metric" && !isAlert) ? value : value + MARKUP;
    if (Array.isArray(value))
      return KEPT.includes(key)
        ? value
        : value.map((one) => change(one, key, isAlert || key === "alerts"));
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(
      Object.entries(value).map(([name, one]) => [
        name,
        change(one, name, isAlert || key === "alerts"),
      ]),
    );
  };
  const changed = change(message, "", message.type === "alert");
  return eachSample(changed, (sample) => {
    const celsius = { celsius: 40, high: 80, critical: 100 };
    sample.temperatures &&= [{ sensor: "sensor" + MARKUP, label: MARKUP, ...celsius }];
  });
}
