//! The collectors meminfo and vmstat.

use super::super::text;
use crate::metrics::exposition::{Exposition, Kind};

/// Lines of /proc/meminfo that are told of. Linux 6.18 has about 60.
const LINES_MAX: usize = 200;

/// /proc/meminfo: every line, `Active(anon):` as `Active_anon`, in bytes where the file has a unit,
/// which is always the kibibyte.
pub fn meminfo(bytes: &[u8], out: &mut Exposition<'_>) -> bool {
    let mut is_any = false;
    for line in text::lines(bytes).take(LINES_MAX) {
        let mut words = text::words(line);
        let name = words.next().and_then(|word| word.strip_suffix(b":"));
        let name = name.and_then(|name| str::from_utf8(name).ok());
        let (Some(name), Some(value)) = (name, words.next().and_then(text::number)) else {
            continue;
        };
        let field = name.strip_suffix(')').and_then(|name| name.split_once('('));
        let name = field.map_or_else(|| name.to_owned(), |(whole, part)| format!("{whole}_{part}"));
        let (name, value) = match words.next() {
            Some(_) => (name + "_bytes", value as f64 * 1024.0),
            None => (name, value as f64),
        };
        let help = format!("Memory information field {name}.");
        let family = out.family(format!("node_memory_{name}"), help, Kind::Gauge);
        out.sample(family, &[], value);
        is_any |= family.is_some();
    }
    is_any
}

/// The lines of /proc/vmstat that node_exporter selects: pages in and out, swapped, faults, kills.
pub fn vmstat(bytes: &[u8], out: &mut Exposition<'_>) -> bool {
    let mut is_any = false;
    for line in text::lines(bytes) {
        let mut words = text::words(line);
        let name = words.next().and_then(|word| str::from_utf8(word).ok());
        let Some(name) = name.filter(|name| is_selected(name)) else { continue };
        let Some(value) = words.next().and_then(text::number) else { continue };
        let help = format!("/proc/vmstat information field {name}.");
        let family = out.family(format!("node_vmstat_{name}"), help, Kind::Untyped);
        out.sample(family, &[], value);
        is_any |= family.is_some();
    }
    is_any
}

/// As the pattern `^(oom_kill|pgpg|pswp|pg.*fault).*` says.
fn is_selected(name: &str) -> bool {
    ["oom_kill", "pgpg", "pswp"].iter().any(|start| name.starts_with(start))
        || name.strip_prefix("pg").is_some_and(|rest| rest.contains("fault"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::exposition::Format;
    use crate::metrics::exposition::tests::text_of;

    #[test]
    fn every_line_of_meminfo_is_named_after_its_field() {
        let bytes = b"MemTotal: 948304 kB\nActive(anon): 2 kB\nHugePages_Total: 3\nOdd\n: 1 kB\n";
        let text = text_of(Format::Text, |out| assert!(meminfo(bytes, out)));
        assert_eq!(
            text,
            "# HELP node_memory_Active_anon_bytes Memory information field Active_anon_bytes.\n\
             # TYPE node_memory_Active_anon_bytes gauge\nnode_memory_Active_anon_bytes 2048\n\
             # HELP node_memory_HugePages_Total Memory information field HugePages_Total.\n\
             # TYPE node_memory_HugePages_Total gauge\nnode_memory_HugePages_Total 3\n\
             # HELP node_memory_MemTotal_bytes Memory information field MemTotal_bytes.\n\
             # TYPE node_memory_MemTotal_bytes gauge\nnode_memory_MemTotal_bytes 971063296\n\
             # HELP node_memory__bytes Memory information field _bytes.\n\
             # TYPE node_memory__bytes gauge\nnode_memory__bytes 1024\n"
        );
    }

    #[test]
    fn few_lines_of_vmstat_are_selected() {
        let names = ["oom_kill", "pgpgin", "pswpout", "pgfault", "pgmajfault", "nr_free", "pgfree"];
        assert_eq!(names.map(is_selected), [true, true, true, true, true, false, false]);
    }
}
