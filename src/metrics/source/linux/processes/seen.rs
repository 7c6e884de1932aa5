//! A process as it stands in a ranking: what its row needs of the files that were read for it.

use super::counters::Origin;
use super::parse::Stat;
use crate::metrics::processes::ranking::Key;
use crate::metrics::processes::{NAME_BYTES_MAX, Order, Row, push_text};

/// A process that ranks.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    pub origin: Origin,
    name: [u8; NAME_BYTES_MAX],
    name_bytes: u8,
    pub state: u8,
    pub is_kernel: bool,
    pub threads: u32,
    pub reaped: u32,
    pub rss: u64,
    pub cpu_usage: Option<f64>,
    pub traffic: Option<[f64; 2]>,
}

impl Seen {
    /// What a stat line tells.
    pub fn new(origin: Origin, stat: &Stat<'_>, page_bytes: u64) -> Seen {
        let mut name = [0; NAME_BYTES_MAX];
        let name_bytes = stat.name.len().min(NAME_BYTES_MAX);
        name[..name_bytes].copy_from_slice(&stat.name[..name_bytes]);
        Seen {
            origin,
            name,
            name_bytes: name_bytes as u8,
            state: stat.state,
            is_kernel: stat.is_kernel,
            threads: stat.threads,
            reaped: stat.reaped,
            rss: stat.rss_pages.saturating_mul(page_bytes),
            cpu_usage: None,
            traffic: None,
        }
    }

    /// Makes a row of it.
    pub fn fill(&self, row: &mut Row) {
        push_text(&mut row.name, &self.name[..usize::from(self.name_bytes)], NAME_BYTES_MAX);
        row.cpu_usage = self.cpu_usage;
        row.rss = Some(self.rss);
        row.read_bytes_per_s = self.traffic.map(|[read, _]| read);
        row.write_bytes_per_s = self.traffic.map(|[_, written]| written);
        row.threads = Some(self.threads);
        row.state = Some(char::from(self.state));
    }

    /// By what it ranks.
    pub fn key(&self, order: Order) -> Key {
        let pid = self.origin.pid;
        match order {
            Order::Cpu => Key::of_figure(self.cpu_usage, self.rss, pid),
            Order::Memory => Key::new(self.rss, 0, pid),
            Order::Io => {
                let sum = self.traffic.map(|[read, written]| read + written);
                Key::of_figure(sum, self.rss, pid)
            }
        }
    }
}
