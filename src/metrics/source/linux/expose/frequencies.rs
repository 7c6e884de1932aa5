//! The collector cpufreq: the frequency of each core (Documentation/admin-guide/pm/cpufreq.rst).

use std::path::Path;
use std::time::Duration;

use super::attributes::{Attributes, Listing, Place};
use crate::metrics::exposition::{Exposition, Kind};

/// Cores that are told apart. Seven files each: what is more than the table of files is left out.
const CORES_MAX: usize = 512;

/// Other entries beside the cores in their directory.
const OTHERS_MAX: usize = 64;

/// Files in kilohertz, and the metrics that they are.
const FREQUENCIES: [(&str, &str, &str); 6] = [
    ("cpuinfo_cur_freq", "node_cpu_frequency_hertz", "Current CPU thread frequency in hertz."),
    ("cpuinfo_min_freq", "node_cpu_frequency_min_hertz", "Minimum CPU thread frequency in hertz."),
    ("cpuinfo_max_freq", "node_cpu_frequency_max_hertz", "Maximum CPU thread frequency in hertz."),
    (
        "scaling_cur_freq",
        "node_cpu_scaling_frequency_hertz",
        "Current scaled CPU thread frequency in hertz.",
    ),
    (
        "scaling_min_freq",
        "node_cpu_scaling_frequency_min_hertz",
        "Minimum scaled CPU thread frequency in hertz.",
    ),
    (
        "scaling_max_freq",
        "node_cpu_scaling_frequency_max_hertz",
        "Maximum scaled CPU thread frequency in hertz.",
    ),
];

/// Reads the cores' files.
pub struct Frequencies {
    listing: Listing,
    attributes: Attributes,
    cores: Vec<Core>,
}

struct Core {
    number: String,
    frequencies: [Place; FREQUENCIES.len()],
    governor: Place,
    governors: Place,
}

impl Frequencies {
    pub fn new(sys: &Path) -> Frequencies {
        Frequencies {
            listing: Listing::new(sys.join("devices/system/cpu"), CORES_MAX + OTHERS_MAX),
            attributes: Attributes::default(),
            cores: Vec::new(),
        }
    }

    pub fn expose(&mut self, now: Duration, out: &mut Exposition<'_>) -> bool {
        self.list(now);
        self.attributes.refresh(now, out);
        let attributes = &self.attributes;
        for (index, (_, name, help)) in FREQUENCIES.into_iter().enumerate() {
            let family = out.family(name, help, Kind::Gauge);
            for core in &self.cores {
                if let Some(kilohertz) = attributes.number(core.frequencies[index]) {
                    out.sample(family, &[("cpu", &core.number)], kilohertz * 1000.0);
                }
            }
        }
        let help = "Current enabled CPU frequency governor.";
        let family = out.family("node_cpu_scaling_governor", help, Kind::Gauge);
        for core in &self.cores {
            let Some(current) = attributes.text(core.governor) else { continue };
            let governors = attributes.text(core.governors).unwrap_or_default();
            for governor in governors.split_ascii_whitespace() {
                let labels = [("cpu", core.number.as_str()), ("governor", governor)];
                out.sample(family, &labels, governor == current);
            }
        }
        // Virtual machines have cores and no say in their frequency.
        true
    }

    fn list(&mut self, now: Duration) {
        let folder = self.listing.path().to_owned();
        let Some(names) = self.listing.changed(now) else { return };
        let is_number = |text: &&str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let numbers = names.iter().filter_map(|name| name.strip_prefix("cpu").filter(is_number));
        let attributes = &mut self.attributes;
        attributes.restart();
        let cores = numbers.take(CORES_MAX).filter_map(|number| {
            let scaling = folder.join(format!("cpu{number}")).join("cpufreq");
            scaling.is_dir().then(|| {
                let mut add = |file: &str| attributes.add(scaling.join(file));
                Core {
                    number: number.to_owned(),
                    frequencies: FREQUENCIES.map(|(file, ..)| add(file)),
                    governor: add("scaling_governor"),
                    governors: add("scaling_available_governors"),
                }
            })
        });
        self.cores = cores.collect();
    }
}
