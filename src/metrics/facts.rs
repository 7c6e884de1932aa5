//! What does not change while the host is up: names, versions, sizes.
//!
//! Owns [`Facts`], read once at start.
//! Promises: a fact the host does not tell is `None`, never a guess.
//! May import: sysinfo.

use serde::Serialize;
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

/// What does not change while the host is up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// The host's name.
    pub name: Option<String>,
    /// The operating system in words, with its version.
    pub os: Option<String>,
    /// The kernel's name and version.
    pub kernel: Option<String>,
    /// The processor's architecture.
    pub architecture: String,
    /// The processor's model.
    pub cpu_model: Option<String>,
    /// Processors as the scheduler counts them.
    pub cores: Option<usize>,
    /// Processors as one could touch them.
    pub cores_physical: Option<usize>,
    /// Main memory in bytes.
    pub memory_total: Option<u64>,
    /// When the host started, in Unix milliseconds.
    pub boot_time_ms: Option<u64>,
    /// The kind of container vitald runs in, where it does.
    pub container: Option<&'static str>,
}

impl Facts {
    /// The facts of the host this runs on.
    pub fn of_this_host() -> Facts {
        let wanted = RefreshKind::nothing()
            .with_cpu(CpuRefreshKind::nothing())
            .with_memory(MemoryRefreshKind::nothing().with_ram());
        let system = System::new_with_specifics(wanted)
            .inspect_err(|error| log::info!("processor and memory facts are missing: {error}"))
            .ok();
        let model = |system: &System| {
            let brand = system.cpus().first()?.brand().trim();
            (!brand.is_empty()).then(|| brand.to_owned())
        };
        Facts {
            name: System::host_name().ok(),
            os: System::long_os_version().ok(),
            kernel: System::kernel_long_version().ok(),
            architecture: System::cpu_arch(),
            cpu_model: system.as_ref().and_then(model),
            cores: system.as_ref().map(|system| system.cpus().len()).filter(|cores| *cores > 0),
            cores_physical: System::physical_core_count().ok(),
            memory_total: system.as_ref().map(System::total_memory).filter(|total| *total > 0),
            boot_time_ms: System::boot_time().ok().map(|seconds| seconds.saturating_mul(1000)),
            container: container(),
        }
    }
}

/// The marks that container runtimes leave. Their absence proves nothing, hence `None`.
fn container() -> Option<&'static str> {
    let marks = [("/.dockerenv", "docker"), ("/run/.containerenv", "podman")];
    let marked = marks.iter().find(|(path, _)| std::path::Path::new(path).exists());
    marked
        .map(|(_, kind)| *kind)
        .or_else(|| std::env::var_os("KUBERNETES_SERVICE_HOST").is_some().then_some("kubernetes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_has_cores_memory_and_an_architecture() {
        let facts = Facts::of_this_host();
        assert!(facts.cores.unwrap() >= 1);
        assert!(facts.memory_total.unwrap() > 1 << 20);
        assert!(!facts.architecture.is_empty());
    }

    #[test]
    fn unknown_facts_are_null_in_json() {
        let json = serde_json::to_value(Facts::default()).unwrap();
        assert!(json["cpu_model"].is_null() && json["boot_time_ms"].is_null());
    }
}
