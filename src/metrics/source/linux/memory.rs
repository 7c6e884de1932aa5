//! /proc/meminfo (Documentation/filesystems/proc.rst).

use super::text;
use crate::metrics::snapshot::Memory;

/// Fills the memory topic. What the file does not tell stays unknown.
pub fn parse(bytes: &[u8], memory: &mut Memory) {
    let (mut free, mut reclaimable) = (None, None);
    let mut swap_free = None;
    for line in text::lines(bytes) {
        let mut words = text::words(line);
        let Some(name) = words.next() else { continue };
        let value = words.next().and_then(text::number).map(|kib| kib as f64 * 1024.0);
        match name {
            b"MemTotal:" => memory.total = value,
            b"MemFree:" => free = value,
            b"MemAvailable:" => memory.available = value,
            b"Buffers:" => memory.buffers = value,
            b"Cached:" => memory.cached = value,
            b"SReclaimable:" => reclaimable = value,
            b"Dirty:" => memory.dirty = value,
            b"SwapTotal:" => memory.swap_total = value,
            b"SwapFree:" => swap_free = value,
            _ => {}
        }
    }
    // Kernels before 3.14 do not estimate what is available.
    memory.available = memory
        .available
        .or_else(|| Some(free? + memory.buffers? + memory.cached? + reclaimable.unwrap_or(0.0)));
    let available = memory.total.zip(memory.available);
    memory.used = available.map(|(total, available)| (total - available).max(0.0));
    memory.usage = share(memory.used, memory.total);
    let swap = memory.swap_total.zip(swap_free);
    memory.swap_used = swap.map(|(total, free)| (total - free).max(0.0));
    memory.swap_usage = share(memory.swap_used, memory.swap_total);
}

/// A percentage; unknown of nothing.
fn share(part: Option<f64>, whole: Option<f64>) -> Option<f64> {
    let (part, whole) = part.zip(whole)?;
    (whole > 0.0).then(|| 100.0 * part / whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PI: &[u8] = b"MemTotal:         948304 kB\nMemFree:          123456 kB\n\
        MemAvailable:     500000 kB\nBuffers:           20000 kB\nCached:           300000 kB\n\
        Dirty:                40 kB\nSwapTotal:        102396 kB\nSwapFree:          51198 kB\n";

    #[test]
    fn usage_is_total_less_available() {
        let mut memory = Memory::default();
        parse(PI, &mut memory);
        assert_eq!(memory.used, Some((948304.0 - 500000.0) * 1024.0));
        assert_eq!(memory.swap_usage, Some(50.0));
        assert_eq!(memory.dirty, Some(40.0 * 1024.0));
    }

    #[test]
    fn an_old_kernels_available_memory_is_estimated() {
        let text = String::from_utf8(PI.to_vec()).unwrap().replace("MemAvailable", "Other");
        let mut memory = Memory::default();
        parse(text.as_bytes(), &mut memory);
        assert_eq!(memory.available, Some((123456.0 + 20000.0 + 300000.0) * 1024.0));
    }

    #[test]
    fn a_host_without_swap_has_no_share_of_it() {
        let mut memory = Memory::default();
        parse(b"MemTotal: 1 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n", &mut memory);
        assert_eq!((memory.swap_total, memory.swap_usage), (Some(0.0), None));
    }
}
