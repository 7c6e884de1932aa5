//! The collectors arp, conntrack, netdev, netstat, sockstat and softnet: what /proc/net tells.
//!
//! All of it is of the network namespace that vitald runs in.

use std::path::Path;
use std::time::Duration;

use super::super::file::HeldFile;
use super::super::networks::split;
use super::super::text;
use crate::metrics::exposition::{Exposition, FamilyId, Kind};

/// Interfaces that are told apart.
const DEVICES_MAX: usize = 256;

/// The columns of /proc/net/dev.
const COLUMNS: [&str; 16] = [
    "receive_bytes",
    "receive_packets",
    "receive_errs",
    "receive_drop",
    "receive_fifo",
    "receive_frame",
    "receive_compressed",
    "receive_multicast",
    "transmit_bytes",
    "transmit_packets",
    "transmit_errs",
    "transmit_drop",
    "transmit_fifo",
    "transmit_colls",
    "transmit_carrier",
    "transmit_compressed",
];

/// /proc/net/dev, loopback included.
pub fn devices(bytes: &[u8], out: &mut Exposition<'_>) -> bool {
    let families = COLUMNS.map(|column| {
        let help = format!("Network device statistic {column}.");
        out.family(format!("node_network_{column}_total"), help, Kind::Counter)
    });
    let mut count = 0;
    for line in text::lines(bytes) {
        let Some((device, values)) = split(line) else { continue };
        let mut values = values.map_while(|value| value).peekable();
        if values.peek().is_none() || count == DEVICES_MAX {
            continue;
        }
        for (family, value) in families.into_iter().zip(values) {
            out.sample(family, &[("device", device)], value);
        }
        count += 1;
    }
    count > 0
}

/// The files of the network stack as a whole.
pub struct Stack {
    arp: HeldFile,
    flows: HeldFile,
    flows_max: HeldFile,
    flow_statistics: HeldFile,
    netstat: HeldFile,
    snmp6: HeldFile,
    softnet: HeldFile,
}

impl Stack {
    pub fn new(proc: &Path) -> Stack {
        let whole = |path: &str| HeldFile::of_one_record(proc.join(path));
        let lines = |path: &str| HeldFile::of_lines(proc.join(path));
        Stack {
            arp: lines("net/arp"),
            flows: whole("sys/net/netfilter/nf_conntrack_count"),
            flows_max: whole("sys/net/netfilter/nf_conntrack_max").reopened(),
            flow_statistics: lines("net/stat/nf_conntrack"),
            netstat: whole("net/netstat"),
            snmp6: whole("net/snmp6"),
            softnet: lines("net/softnet_stat"),
        }
    }

    /// /proc/net/arp: neighbours by interface.
    pub fn arp(&mut self, now: Duration, buffer: &mut Vec<u8>, out: &mut Exposition<'_>) -> bool {
        let Some(bytes) = self.arp.read(now, buffer) else { return false };
        let mut counts: Vec<(&str, u64)> = Vec::new();
        for line in text::lines(bytes).skip(1) {
            let device = text::words(line).last().and_then(|word| str::from_utf8(word).ok());
            let Some(device) = device else { continue };
            match counts.iter().position(|(known, _)| *known == device) {
                Some(place) => counts[place].1 += 1,
                None if counts.len() < DEVICES_MAX => counts.push((device, 1)),
                None => {}
            }
        }
        let family = out.family("node_arp_entries", "ARP entries by device", Kind::Gauge);
        for (device, count) in counts {
            out.sample(family, &[("device", device)], count);
        }
        true
    }

    /// Connection tracking: flows, their limit, and /proc/net/stat/nf_conntrack, which a program
    /// without privilege may not be allowed to read.
    pub fn conntrack(
        &mut self,
        now: Duration,
        buffer: &mut Vec<u8>,
        out: &mut Exposition<'_>,
    ) -> bool {
        let Some(flows) = self.flows.read(now, buffer) else { return false };
        let help = "Number of currently allocated flow entries for connection tracking.";
        out.gauge("node_nf_conntrack_entries", help, text::number(flows.trim_ascii()));
        let most = self.flows_max.read(now, buffer).map(<[u8]>::trim_ascii);
        let help = "Maximum size of connection tracking table.";
        out.gauge("node_nf_conntrack_entries_limit", help, most.and_then(text::number));
        if let Some(bytes) = self.flow_statistics.read(now, buffer) {
            flow_statistics(bytes, out);
        }
        true
    }

    /// The fields that node_exporter selects of /proc/net/netstat, snmp and snmp6.
    pub fn statistics(
        &mut self,
        snmp: &mut HeldFile,
        now: Duration,
        buffer: &mut Vec<u8>,
        out: &mut Exposition<'_>,
    ) -> bool {
        let mut is_any = false;
        for file in [&mut self.netstat, snmp] {
            if let Some(bytes) = file.read(now, buffer) {
                is_any |= table(bytes, out);
            }
        }
        if let Some(bytes) = self.snmp6.read(now, buffer) {
            for line in text::lines(bytes) {
                let mut words = text::words(line);
                let name = words.next().and_then(|word| str::from_utf8(word).ok());
                let Some((protocol, field)) = name.and_then(|name| name.split_once('6')) else {
                    continue;
                };
                statistic(&format!("{protocol}6"), field, words.next(), out);
            }
        }
        is_any
    }

    /// /proc/net/softnet_stat: packets by core.
    pub fn softnet(
        &mut self,
        now: Duration,
        buffer: &mut Vec<u8>,
        out: &mut Exposition<'_>,
    ) -> bool {
        self.softnet.read(now, buffer).is_some_and(|bytes| softnet(bytes, out))
    }
}

/// Sums of the columns of each core; hexadecimal (net/netfilter/nf_conntrack_standalone.c).
fn flow_statistics(bytes: &[u8], out: &mut Exposition<'_>) {
    const KNOWN: [(usize, &str, &str); 8] = [
        (2, "node_nf_conntrack_stat_found", "Number of searched entries which were successful."),
        (4, "node_nf_conntrack_stat_invalid", "Number of packets seen which can not be tracked."),
        (
            5,
            "node_nf_conntrack_stat_ignore",
            "Number of packets seen which are already connected to a conntrack entry.",
        ),
        (8, "node_nf_conntrack_stat_insert", "Number of entries inserted into the list."),
        (
            9,
            "node_nf_conntrack_stat_insert_failed",
            "Number of entries for which list insertion was attempted but failed.",
        ),
        (10, "node_nf_conntrack_stat_drop", "Number of packets dropped due to conntrack failure."),
        (
            11,
            "node_nf_conntrack_stat_early_drop",
            "Number of dropped conntrack entries to make room for new ones, if maximum table size \
             was reached.",
        ),
        (
            16,
            "node_nf_conntrack_stat_search_restart",
            "Number of conntrack table lookups which had to be restarted due to hashtable resizes.",
        ),
    ];
    for (column, name, help) in KNOWN {
        let values = text::lines(bytes)
            .skip(1)
            .filter_map(|line| text::words(line).nth(column).and_then(hexadecimal));
        let sum = values
            .fold(None, |sum: Option<u64>, value| Some(sum.unwrap_or(0).saturating_add(value)));
        out.gauge(name, help, sum);
    }
}

/// Pairs of lines: names of columns, and their values.
fn table(bytes: &[u8], out: &mut Exposition<'_>) -> bool {
    let mut lines = text::lines(bytes);
    let mut is_any = false;
    while let (Some(names), Some(values)) = (lines.next(), lines.next()) {
        let (mut names, mut values) = (text::words(names), text::words(values));
        let protocol = names.next().filter(|word| values.next() == Some(*word));
        let protocol = protocol.and_then(|word| str::from_utf8(word.strip_suffix(b":")?).ok());
        let Some(protocol) = protocol else { continue };
        for (name, value) in names.zip(values) {
            let Ok(name) = str::from_utf8(name) else { continue };
            is_any |= statistic(protocol, name, Some(value), out);
        }
    }
    is_any
}

fn statistic(protocol: &str, field: &str, value: Option<&[u8]>, out: &mut Exposition<'_>) -> bool {
    if !is_selected(protocol, field) {
        return false;
    }
    let Some(value) = value.and_then(text::number) else { return false };
    let name = format!("node_netstat_{protocol}_{field}");
    let family = out.family(name, format!("Statistic {protocol}{field}."), Kind::Untyped);
    out.sample(family, &[], value);
    family.is_some()
}

/// As node_exporter's pattern says.
fn is_selected(protocol: &str, field: &str) -> bool {
    if matches!(field, "InErrors" | "InErrs") {
        return true;
    }
    match protocol {
        "Ip" => field == "Forwarding",
        "Ip6" | "IpExt" => matches!(field, "InOctets" | "OutOctets"),
        "Icmp" | "Icmp6" => matches!(field, "InMsgs" | "OutMsgs"),
        "TcpExt" => {
            field.starts_with("Listen")
                || field.starts_with("Syncookies")
                || matches!(field, "TCPSynRetrans" | "TCPTimeouts" | "TCPOFOQueue" | "TCPRcvQDrop")
        }
        "Tcp" => matches!(
            field,
            "ActiveOpens"
                | "InSegs"
                | "OutSegs"
                | "OutRsts"
                | "PassiveOpens"
                | "RetransSegs"
                | "CurrEstab"
        ),
        "Udp" | "Udp6" => matches!(
            field,
            "InDatagrams" | "OutDatagrams" | "NoPorts" | "RcvbufErrors" | "SndbufErrors"
        ),
        _ => false,
    }
}

/// /proc/net/sockstat or sockstat6.
pub fn sockets(bytes: &[u8], out: &mut Exposition<'_>) -> bool {
    text::lines(bytes).fold(false, |any, line| any | sockets_of(line, out))
}

/// A line of sockstat: a protocol and names with their numbers.
fn sockets_of(line: &[u8], out: &mut Exposition<'_>) -> bool {
    let mut words = text::words(line);
    let protocol = words.next().and_then(|word| str::from_utf8(word.strip_suffix(b":")?).ok());
    let Some(protocol) = protocol else { return false };
    let mut is_any = false;
    while let (Some(state), Some(value)) = (words.next(), words.next()) {
        let (Ok(state), Some(value)) = (str::from_utf8(state), text::number(value)) else {
            continue;
        };
        if (protocol, state) == ("sockets", "used") {
            let help = "Number of IPv4 sockets in use.";
            out.gauge("node_sockstat_sockets_used", help, Some(value));
            is_any = true;
            continue;
        }
        if !matches!(state, "inuse" | "orphan" | "tw" | "alloc" | "mem" | "memory") {
            continue;
        }
        let mut tell = |state: &str, value: u64| {
            let help = format!("Number of {protocol} sockets in state {state}.");
            let name = format!("node_sockstat_{protocol}_{state}");
            let family = out.family(name, help, Kind::Gauge);
            out.sample(family, &[], value);
            is_any |= family.is_some();
        };
        tell(state, value);
        if state == "mem" {
            tell("mem_bytes", value.saturating_mul(rustix::param::page_size() as u64));
        }
    }
    is_any
}

/// The columns of net/core/net-procfs.c, hexadecimal; kernels before 5.10 do not tell the core.
fn softnet(bytes: &[u8], out: &mut Exposition<'_>) -> bool {
    let mut family = |name: &'static str, help: &'static str, kind: Kind| -> Option<FamilyId> {
        out.family(name, help, kind)
    };
    let counter = Kind::Counter;
    let columns = [
        (0, family("node_softnet_processed_total", "Number of processed packets", counter)),
        (1, family("node_softnet_dropped_total", "Number of dropped packets", counter)),
        (
            2,
            family(
                "node_softnet_times_squeezed_total",
                "Number of times processing packets ran out of quota",
                counter,
            ),
        ),
        (
            8,
            family(
                "node_softnet_cpu_collision_total",
                "Number of collision occur while obtaining device lock while transmitting",
                counter,
            ),
        ),
        (
            9,
            family(
                "node_softnet_received_rps_total",
                "Number of times cpu woken up received_rps",
                counter,
            ),
        ),
        (
            10,
            family(
                "node_softnet_flow_limit_count_total",
                "Number of times flow limit has been reached",
                counter,
            ),
        ),
        (11, family("node_softnet_backlog_len", "Softnet backlog status", Kind::Gauge)),
    ];
    let mut is_any = false;
    for (position, line) in text::lines(bytes).enumerate() {
        let value = |column: usize| text::words(line).nth(column).and_then(hexadecimal);
        if value(0).is_none() {
            continue;
        }
        let core = value(12).unwrap_or(position as u64).to_string();
        for (column, family) in columns {
            if let Some(value) = value(column) {
                out.sample(family, &[("cpu", &core)], value);
            }
        }
        is_any = true;
    }
    is_any
}

fn hexadecimal(word: &[u8]) -> Option<u64> {
    let is_plain = word.iter().all(u8::is_ascii_hexdigit);
    str::from_utf8(word).ok().filter(|_| is_plain).and_then(|w| u64::from_str_radix(w, 16).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::exposition::Format;
    use crate::metrics::exposition::tests::text_of;

    #[test]
    fn fields_are_selected_as_node_exporter_does() {
        for (protocol, field, expected) in [
            ("UdpLite6", "InErrors", true),
            ("Tcp", "InErrs", true),
            ("TcpExt", "ListenDrops", true),
            ("TcpExt", "TCPOFOQueue", true),
            ("TcpExt", "TCPOFODrop", false),
            ("Ip", "InReceives", false),
            ("IpExt", "InOctets", true),
            ("Icmp6", "OutMsgs", true),
            ("UdpLite", "InDatagrams", false),
        ] {
            assert_eq!(is_selected(protocol, field), expected, "{protocol} {field}");
        }
    }

    #[test]
    fn values_stand_under_their_names() {
        let bytes = b"Tcp: RtoMin ActiveOpens InErrs\nTcp: 200 7 -1\nIp: Forwarding\nUdp: 1\n";
        let text = text_of(Format::Text, |out| assert!(table(bytes, out)));
        assert_eq!(
            text,
            "# HELP node_netstat_Tcp_ActiveOpens Statistic TcpActiveOpens.\n\
             # TYPE node_netstat_Tcp_ActiveOpens untyped\nnode_netstat_Tcp_ActiveOpens 7\n"
        );
    }

    #[test]
    fn memory_of_sockets_is_told_in_pages_and_in_bytes() {
        let line = b"TCP: inuse 4 orphan 0 tw 1 alloc 4 mem 239";
        let text = text_of(Format::Text, |out| assert!(sockets(line, out)));
        let bytes = 239 * rustix::param::page_size();
        assert!(text.contains("\nnode_sockstat_TCP_mem 239\n"), "{text}");
        assert!(text.contains(&format!("\nnode_sockstat_TCP_mem_bytes {bytes}\n")), "{text}");
    }

    #[test]
    fn a_core_is_named_by_the_kernel_or_by_its_line() {
        let new = b"0a 0 0 0 0 0 0 0 0 0 0 0 4 0 0\n";
        let text = text_of(Format::Text, |out| assert!(softnet(new, out)));
        assert!(text.contains("node_softnet_processed_total{cpu=\"4\"} 10\n"), "{text}");
        let old = b"00000001 00000002 00000003 0 0 0 0 0 0\n00000004 0 0\n";
        let text = text_of(Format::Text, |out| assert!(softnet(old, out)));
        assert!(text.contains("node_softnet_processed_total{cpu=\"1\"} 4\n"), "{text}");
        assert!(!text.contains("backlog"), "{text}");
    }

    #[test]
    fn flows_are_summed_over_the_cores() {
        let row = |found: &str| format!("0 0 {found} 0 1 2 0 0 3 0 0 0 0 0 0 0 5\n");
        let bytes = format!("entries and so on\n{}{}", row("0f"), row("10"));
        let text = text_of(Format::Text, |out| flow_statistics(bytes.as_bytes(), out));
        assert!(text.contains("node_nf_conntrack_stat_found 31\n"), "{text}");
        assert!(text.contains("node_nf_conntrack_stat_search_restart 10\n"), "{text}");
    }
}
