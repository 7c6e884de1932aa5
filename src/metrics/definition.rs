//! The one definition of every metric: name, unit and meaning, one line a figure.
//!
//! Owns the table at the foot of this file. From it come the plain structs a source fills, the JSON
//! that subscribers read, the paths that select, the series that history keeps, and whatever reads
//! the tables later (alerts, exposition). To add a metric, add its line here and fill the field in
//! the source that can read it; nothing else changes.
//! Promises: the order here is the order in JSON; names never contain anything but letters, `_`, and
//! the dots of a column that stands in a group, as `connections.active` does in JSON's
//! `"connections":{"active"`; the columns of a group stand together.
//! May import: `snapshot` (the column types and the macro that reads the table).

use super::snapshot::{
    Column, Container, Content, Counter, Figure, Flag, List, Mark, Record, Text, Typed, Value,
};

/// What a figure counts. Decides how many decimals are worth writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unit {
    /// 0 to 100.
    Percent,
    /// A size.
    Bytes,
    /// A throughput.
    BytesPerSecond,
    /// Events a second.
    PerSecond,
    /// Events a minute.
    PerMinute,
    /// A whole number of things.
    Count,
    /// A duration or a point in uptime.
    Seconds,
    /// A short duration.
    Milliseconds,
    /// A clock frequency.
    Megahertz,
    /// A temperature.
    Celsius,
    /// A figure without a unit, such as a load average.
    Number,
    /// Not a figure: a text or a flag.
    Nothing,
}

impl Unit {
    /// The name in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Unit::Percent => "percent",
            Unit::Bytes => "bytes",
            Unit::BytesPerSecond => "bytes_per_second",
            Unit::PerSecond => "per_second",
            Unit::PerMinute => "per_minute",
            Unit::Count => "count",
            Unit::Seconds => "seconds",
            Unit::Milliseconds => "milliseconds",
            Unit::Megahertz => "megahertz",
            Unit::Celsius => "celsius",
            Unit::Number => "number",
            Unit::Nothing => "",
        }
    }

    /// `value` with the decimals a reader can use: digits beyond these are noise and bytes on the
    /// wire. A percentage below one gets a second decimal, because 0.04 and 0.4 differ in meaning;
    /// short times are of microseconds and milliseconds.
    pub fn round(self, value: f64) -> f64 {
        let scale = match self {
            Unit::Percent if value.abs() < 1.0 => 100.0,
            Unit::Milliseconds if value.abs() < 1.0 => 1000.0,
            Unit::Seconds if value.abs() < 60.0 => 1000.0,
            Unit::Percent | Unit::PerSecond | Unit::PerMinute | Unit::Celsius => 10.0,
            Unit::Milliseconds | Unit::Number => 100.0,
            Unit::Bytes | Unit::BytesPerSecond | Unit::Count => 1.0,
            Unit::Seconds | Unit::Megahertz | Unit::Nothing => 1.0,
        };
        // `+ 0.0` turns -0.0 into 0.0, which would otherwise print its sign.
        (value * scale).round() / scale + 0.0
    }
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// One figure, or nothing: a scalar path of its own.
    Figure,
    /// True, false or unknown.
    Flag,
    /// A name or a label.
    Text,
    /// A figure for each of several like things, by position.
    List,
}

/// One column of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// The name in JSON and in paths; the struct's field has `_` for a dot.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Whether it is a count since the start.
    pub is_counter: bool,
    /// Whether it only ever rises, as counts and high-water marks do: a line of it shows nothing,
    /// so history does not keep it.
    pub only_rises: bool,
    /// What it counts.
    pub unit: Unit,
    /// What it means, one sentence without a full stop.
    pub help: &'static str,
}

/// One topic: a record, or a list of records that a key tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Topic {
    /// The name in JSON and the first word of its paths.
    pub name: &'static str,
    /// What it covers.
    pub help: &'static str,
    /// The columns, in the order of JSON. For a list of records the first is the key.
    pub fields: &'static [Field],
    /// The name of the key column, for a list of records.
    pub key: Option<&'static str>,
}

impl Topic {
    /// The position of the topic called `name`.
    pub fn position(name: &str) -> Option<usize> {
        TOPICS.iter().position(|topic| topic.name == name)
    }

    /// The position of the column called `name`.
    pub fn field(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| field.name == name)
    }
}

super::snapshot::define_metrics! {
    cpu: Cpu, "Processor time over the last interval, all cores together" {
        usage: Figure, Percent, "Time spent neither idle nor waiting for a disk";
        user: Figure, Percent, "Time in programs, guests included, niced ones not";
        system: Figure, Percent, "Time in the kernel";
        nice: Figure, Percent, "Time in programs of lowered priority";
        iowait: Figure, Percent, "Time idle with a disk request outstanding";
        irq: Figure, Percent, "Time in hard and soft interrupts";
        steal: Figure, Percent, "Time the hypervisor gave to others";
        cores: List, Percent, "Usage of each core, by its number";
        frequency_mhz: Figure, Megahertz, "Clock frequency of the first core";
    }
    load: Load, "How much work waits" {
        one: Figure, Number, "Load average over one minute";
        five: Figure, Number, "Load average over five minutes";
        fifteen: Figure, Number, "Load average over fifteen minutes";
        running: Figure, Count, "Threads that run or are ready to";
        blocked: Figure, Count, "Threads that wait for a disk";
        threads: Figure, Count, "Threads in all";
    }
    memory: Memory, "Main memory and swap" {
        total: Figure, Bytes, "Main memory that the kernel manages";
        used: Figure, Bytes, "Total less available";
        available: Figure, Bytes, "What programs can still take without swapping";
        usage: Figure, Percent, "Used as a share of total";
        buffers: Figure, Bytes, "Block device buffers";
        cached: Figure, Bytes, "File contents kept, shared memory included";
        dirty: Figure, Bytes, "File contents that wait to be written";
        swap_total: Figure, Bytes, "Swap space";
        swap_used: Figure, Bytes, "Swap space in use";
        swap_usage: Figure, Percent, "Swap in use as a share of swap";
    }
    pressure: Pressure, "Share of the last 10 s in which work stood still for want of something" {
        cpu_some: Figure, Percent, "Some thread waited for a processor";
        memory_some: Figure, Percent, "Some thread waited for memory";
        memory_full: Figure, Percent, "Every thread waited for memory";
        io_some: Figure, Percent, "Some thread waited for a disk";
        io_full: Figure, Percent, "Every thread waited for a disk";
    }
    disks: Disk by name("The kernel's name of the disk"), "Whole disks" {
        read_bytes_per_s: Figure, BytesPerSecond, "Read from the disk";
        write_bytes_per_s: Figure, BytesPerSecond, "Written to the disk";
        reads_per_s: Figure, PerSecond, "Read requests completed";
        writes_per_s: Figure, PerSecond, "Write requests completed";
        utilisation: Figure, Percent, "Time with at least one request in progress";
        await_ms: Figure, Milliseconds, "Mean time of a completed request, queueing included";
    }
    filesystems: Filesystem by mount("Where it is mounted"), "Local file systems, one row a device" {
        device: Text, Nothing, "What is mounted";
        kind: Text, Nothing, "The type of file system";
        total: Figure, Bytes, "Size";
        used: Figure, Bytes, "Size less every free block";
        available: Figure, Bytes, "Free for programs without privilege";
        usage: Figure, Percent, "Used as a share of used and available, as df has it";
        inodes_usage: Figure, Percent, "Share of the inodes in use";
    }
    networks: Network by name("The interface's name"), "Network interfaces, loopback left out" {
        up: Flag, Nothing, "Running, with a link as far as the driver can tell";
        rx_bytes_per_s: Figure, BytesPerSecond, "Received";
        tx_bytes_per_s: Figure, BytesPerSecond, "Sent";
        rx_packets_per_s: Figure, PerSecond, "Packets received";
        tx_packets_per_s: Figure, PerSecond, "Packets sent";
        rx_errors_per_s: Figure, PerSecond, "Errors while receiving";
        tx_errors_per_s: Figure, PerSecond, "Errors while sending";
        rx_dropped_per_s: Figure, PerSecond, "Packets received and dropped";
        tx_dropped_per_s: Figure, PerSecond, "Packets dropped before sending";
    }
    sockets: Sockets, "Sockets and open files of the whole host" {
        tcp_established: Figure, Count, "TCP connections established or half closed by the peer";
        tcp_listen: Figure, Count, "TCP sockets that listen";
        tcp_time_wait: Figure, Count, "TCP connections that are over and keep their port a while";
        udp: Figure, Count, "UDP sockets";
        file_handles: Figure, Count, "Open file handles";
        file_handles_max: Figure, Count, "File handles that can be open";
    }
    temperatures: Temperature by sensor("The chip and its sensor"), "Sensors of temperature" {
        label: Text, Nothing, "What the sensor measures, in the driver's words";
        celsius: Figure, Celsius, "The temperature";
        high: Figure, Celsius, "The temperature from which the driver warns";
        critical: Figure, Celsius, "The temperature that harms";
    }
    system: System, "The kernel as a whole" {
        uptime_s: Figure, Seconds, "Time since boot";
        processes: Figure, Count, "Processes, as far as vitald may see them";
        context_switches_per_s: Figure, PerSecond, "Switches from thread to thread";
        interrupts_per_s: Figure, PerSecond, "Interrupts served";
        forks_per_s: Figure, PerSecond, "Processes and threads started";
        oom_kills: Figure, Count, "Processes killed for want of memory since boot";
    }
    cgroup: Cgroup, "What the control group that vitald runs in may use, where it is limited" {
        memory_limit: Figure, Bytes, "The most memory";
        memory_used: Figure, Bytes, "Memory in use, file contents kept included";
        memory_usage: Figure, Percent, "Memory in use as a share of the limit";
        cpu_quota_cores: Figure, Number, "The most processor time, in cores";
        cpu_usage: Figure, Percent, "Processor time used as a share of the quota";
        cpu_throttled: Figure, Percent, "Periods of enforcement in which it had to wait";
    }
    server: Server, "What vitald measures of itself" {
        connections_active as "connections.active":
            Figure, Count, "Connections of every kind now, those on their way out included";
        connections_peak as "connections.peak": Mark, Count, "The most connections at one time";
        connections_opened as "connections.opened": Counter, Count, "Connections opened";
        connections_closed as "connections.closed": Counter, Count, "Connections closed";
        connections_by_state_connecting as "connections.by_state.CONNECTING":
            Figure, Count, "Connections that send or await a request";
        connections_by_state_connected as "connections.by_state.CONNECTED":
            Figure, Count, "Open WebSockets and event streams";
        connections_by_state_disconnecting as "connections.by_state.DISCONNECTING":
            Figure, Count, "Connections that are being closed";
        connections_by_state_disconnected as "connections.by_state.DISCONNECTED":
            Figure, Count, "Connections that are over and not yet released";
        connections_closed_by_reason_finished as "connections.closed_by_reason.finished":
            Counter, Count, "Connections closed because the last answer was sent";
        connections_closed_by_reason_peer_left as "connections.closed_by_reason.peer_left":
            Counter, Count, "Connections closed because the peer left without a close frame";
        connections_closed_by_reason_peer_closed as "connections.closed_by_reason.peer_closed":
            Counter, Count, "Connections closed because the peer sent a close frame";
        connections_closed_by_reason_closed as "connections.closed_by_reason.closed":
            Counter, Count, "Connections closed because vitald closed the WebSocket";
        connections_closed_by_reason_policy as "connections.closed_by_reason.policy":
            Counter, Count, "Connections closed because of what the peer did";
        connections_closed_by_reason_shutdown as "connections.closed_by_reason.shutdown":
            Counter, Count, "Connections closed because vitald stopped";
        connections_closed_by_reason_shutdown_forced
            as "connections.closed_by_reason.shutdown_forced":
            Counter, Count, "Connections closed because vitald stopped and time was over";
        connections_closed_by_reason_head_timeout as "connections.closed_by_reason.head_timeout":
            Counter, Count, "Connections closed because a request did not become whole in time";
        connections_closed_by_reason_idle_timeout as "connections.closed_by_reason.idle_timeout":
            Counter, Count, "Connections closed because no further request came";
        connections_closed_by_reason_bad_request as "connections.closed_by_reason.bad_request":
            Counter, Count, "Connections closed because the request was malformed";
        connections_closed_by_reason_full as "connections.closed_by_reason.full":
            Counter, Count, "Connections closed because there was no room";
        connections_closed_by_reason_address_full as "connections.closed_by_reason.address_full":
            Counter, Count, "Connections closed because the address had its share";
        connections_closed_by_reason_unanswered as "connections.closed_by_reason.unanswered":
            Counter, Count, "Connections closed because an answer did not come in time";
        connections_closed_by_reason_slow_reader as "connections.closed_by_reason.slow_reader":
            Counter, Count, "Connections closed because the peer did not take what was sent";
        connections_closed_by_reason_silent as "connections.closed_by_reason.silent":
            Counter, Count, "Connections closed because the peer did not answer a ping";
        connections_closed_by_reason_protocol_error
            as "connections.closed_by_reason.protocol_error":
            Counter, Count, "Connections closed because the peer broke the WebSocket protocol";
        connections_closed_by_reason_too_big as "connections.closed_by_reason.too_big":
            Counter, Count, "Connections closed because a message was over the limit";
        connections_closed_by_reason_reset as "connections.closed_by_reason.reset":
            Counter, Count, "Connections closed because the peer reset the connection";
        connections_closed_by_reason_failed as "connections.closed_by_reason.failed":
            Counter, Count, "Connections closed because the system reported an error";
        connections_duration_s_mean as "connections.duration_s.mean":
            Figure, Seconds, "Mean time from opening to closing";
        connections_duration_s_p50 as "connections.duration_s.p50":
            Figure, Seconds, "Median time from opening to closing";
        connections_duration_s_p99 as "connections.duration_s.p99":
            Figure, Seconds, "99th percentile of the time from opening to closing";
        connections_disconnects_per_min as "connections.disconnects_per_min":
            Figure, PerMinute, "Connections that ended, over the last 5 minutes";
        connections_error_rate as "connections.error_rate":
            Figure, Percent, "Connections ended by an error, of all ended in the last 5 minutes";
        connections_failure_rate as "connections.failure_rate":
            Figure, Percent, "Attempts that failed, of all in the last 5 minutes";
        subscriptions_active as "subscriptions.active":
            Figure, Count, "Subscriptions that samples are sent to";
        subscriptions_classes as "subscriptions.classes":
            Figure, Count, "Different kinds of subscription, each with an encoding of its own";
        messages_sent as "messages.sent":
            Counter, Count, "WebSocket messages that the kernel has taken whole";
        messages_bytes as "messages.bytes": Counter, Bytes, "Bytes of their frames";
        messages_encoded as "messages.encoded":
            Counter, Count, "Samples encoded, each once for all who are sent the same";
        messages_conflated as "messages.conflated":
            Counter, Count, "Samples replaced by a newer one before they were sent";
        messages_dropped as "messages.dropped":
            Counter, Count, "Events dropped because their reader was slow";
        messages_latency_ms_p50 as "messages.latency_ms.p50":
            Figure, Milliseconds, "Median time from tick to kernel, over 60 s";
        messages_latency_ms_p99 as "messages.latency_ms.p99":
            Figure, Milliseconds, "99th percentile of the time from tick to kernel, over 60 s";
        messages_latency_ms_max as "messages.latency_ms.max":
            Figure, Milliseconds, "Longest time from tick to kernel, over 60 s";
        messages_round_trip_ms_p50 as "messages.round_trip_ms.p50":
            Figure, Milliseconds, "Median time from a ping to its pong, over 60 s";
        messages_round_trip_ms_p99 as "messages.round_trip_ms.p99":
            Figure, Milliseconds, "99th percentile of the time from a ping to its pong, over 60 s";
        messages_round_trip_ms_max as "messages.round_trip_ms.max":
            Figure, Milliseconds, "Longest time from a ping to its pong, over 60 s";
        queues_bytes as "queues.bytes": Figure, Bytes, "Bytes that wait to be sent";
        queues_bytes_max as "queues.bytes_max":
            Mark, Bytes, "The most bytes that waited at one time";
        queues_frames_live as "queues.frames_live": Figure, Count, "Shared frames in use";
        tasks_running as "tasks.running": Figure, Count, "Tasks that run";
        tasks_cancelling as "tasks.cancelling": Figure, Count, "Tasks that wind down";
        tasks_cancelled as "tasks.cancelled": Counter, Count, "Tasks ended by being cancelled";
        tasks_completed as "tasks.completed": Counter, Count, "Tasks that came to their own end";
        tasks_forced as "tasks.forced":
            Counter, Count, "Cancelled tasks that did not wind down in time";
        cache_hits as "cache.hits": Counter, Count, "Reads answered from a sample that was fresh";
        cache_misses as "cache.misses": Counter, Count, "Reads that had to sample";
        cache_hit_rate as "cache.hit_rate":
            Figure, Percent, "Hits as a share of the reads of the last 5 minutes";
        pools_frames_live as "pools.frames.live": Figure, Count, "Shared frames in use";
        pools_frames_high as "pools.frames.high": Mark, Count, "Shared frames in use at the most";
        pools_frames_reused as "pools.frames.reused": Counter, Count, "Shared frames used again";
        pools_heads_live as "pools.heads.live": Figure, Count, "Input buffers in use";
        pools_heads_high as "pools.heads.high": Mark, Count, "Input buffers in use at the most";
        pools_heads_reused as "pools.heads.reused": Counter, Count, "Input buffers used again";
        pools_slots_live as "pools.slots.live":
            Figure, Count, "Places in the connection table in use";
        pools_slots_high as "pools.slots.high":
            Mark, Count, "Places in the connection table in use at the most";
        pools_slots_reused as "pools.slots.reused":
            Counter, Count, "Places in the connection table used again";
        loop_turns as "loop.turns": Counter, Count, "Passes of the loop";
        loop_wakeups_per_s as "loop.wakeups_per_s":
            Figure, PerSecond, "Times the loop woke from waiting, over the last 5 minutes";
        loop_lateness_ms_p99 as "loop.lateness_ms.p99":
            Figure, Milliseconds, "99th percentile of time from tick due to begun, over 5 minutes";
        loop_lateness_ms_max as "loop.lateness_ms.max":
            Figure, Milliseconds, "Longest time from tick due to begun, over 5 minutes";
        loop_busy_ms_p99 as "loop.busy_ms.p99":
            Figure, Milliseconds, "99th percentile of time that a pass took, over 5 minutes";
        loop_busy_ms_max as "loop.busy_ms.max":
            Figure, Milliseconds, "Longest time that a pass took, over 5 minutes";
        process_cpu_usage as "process.cpu_usage":
            Figure, Percent, "Processor time of this process, as a share of one core";
        process_rss as "process.rss": Figure, Bytes, "Memory of this process that is resident";
        process_heap as "process.heap":
            Figure, Bytes, "Of it, memory without a file behind it (RssAnon)";
        process_fds as "process.fds": Figure, Count, "Open file descriptors of this process";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_case_words_and_unique_within_their_topic() {
        let is_plain =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let plain = |name: &str| !name.is_empty() && name.bytes().all(is_plain);
        // A state is written as it is everywhere else.
        let is_state = |name: &str| name.starts_with("connections.by_state.");
        for (position, topic) in TOPICS.iter().enumerate() {
            assert!(plain(topic.name), "{}", topic.name);
            assert_eq!(Topic::position(topic.name), Some(position));
            for (index, field) in topic.fields.iter().enumerate() {
                let is_named = field.name.split('.').all(plain) || is_state(field.name);
                assert!(is_named, "{}.{}", topic.name, field.name);
                assert_eq!(topic.field(field.name), Some(index), "{}", field.name);
                assert!(!field.help.ends_with('.') && !field.help.is_empty());
            }
        }
    }

    #[test]
    fn the_key_is_the_first_column_of_a_list_of_records() {
        for topic in TOPICS {
            if let Some(key) = topic.key {
                assert_eq!((topic.fields[0].name, topic.fields[0].kind), (key, Kind::Text));
            }
        }
    }

    #[test]
    fn the_unit_at_the_end_of_a_name_agrees_with_the_unit() {
        for field in TOPICS.iter().flat_map(|topic| topic.fields) {
            let expected = match field.name {
                name if name.ends_with("_bytes_per_s") => Unit::BytesPerSecond,
                name if name.ends_with("_per_s") => Unit::PerSecond,
                name if name.ends_with("_ms") => Unit::Milliseconds,
                name if name.ends_with("_mhz") => Unit::Megahertz,
                name if name.ends_with("usage") || name.ends_with("_rate") => Unit::Percent,
                _ => continue,
            };
            assert_eq!(field.unit, expected, "{}", field.name);
        }
    }

    #[test]
    fn rounding_keeps_what_can_be_seen() {
        assert_eq!(Unit::Percent.round(12.3456), 12.3);
        assert_eq!(Unit::Percent.round(0.0456), 0.05);
        assert_eq!(Unit::Bytes.round(1234.5), 1235.0);
        assert_eq!(Unit::Number.round(0.126), 0.13);
        assert_eq!(Unit::Milliseconds.round(1.239), 1.24);
        assert!(Unit::PerSecond.round(-0.01).is_sign_positive());
    }
}
