//! A host out of tests/fixtures, in a directory of its own where it can be changed.
//!
//! A fixture is a tree of `proc` and `sys`; what lies under `later` takes the place of it at the
//! second reading. `links` has links that a checkout could not hold everywhere, and `statvfs` what
//! the kernel would say of each mount.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use vitald::metrics::definition::TOPICS;
use vitald::metrics::exposition::{Exposition, Format};
use vitald::metrics::selection::Selection;
use vitald::metrics::snapshot::Snapshot;
use vitald::metrics::source::Source;
use vitald::metrics::source::linux::{Ask, Linux, Space};

/// Every host there is.
pub const HOSTS: [&str; 6] = [
    "raspberry-pi",
    "server-64-core",
    "container-cgroup-v2",
    "container-cgroup-v1",
    "openwrt-router",
    "vm-no-sensors",
];

/// A copy of a fixture, removed at the end.
pub struct Host {
    pub root: PathBuf,
    fixture: PathBuf,
    linux: Linux,
    snapshot: Snapshot,
}

impl Host {
    pub fn new(name: &str) -> Host {
        Host::asking(name, |space, _| Ok(space))
    }

    /// One whose file systems give what `answer` makes of the fixture's figures.
    pub fn asking(
        name: &str,
        mut answer: impl FnMut(Space, &str) -> io::Result<Space> + Send + 'static,
    ) -> Host {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let root = std::env::temp_dir();
        let root = root.join(format!("vitald-{name}-{}-{number}", std::process::id()));
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
        for part in ["proc", "sys", "run", "etc"] {
            copy(&fixture.join(part), &root.join(part));
        }
        for words in lines(&fixture.join("links")) {
            let (link, target) = (root.join(&words[0]), root.join(&words[1]));
            fs::create_dir_all(&target).expect("a directory can be made");
            std::os::unix::fs::symlink(target, link).expect("a link can be made");
        }
        let spaces = spaces(&fixture.join("statvfs"));
        let place = root.clone();
        let ask: Ask = Box::new(move |path: &Path| {
            let below = path.strip_prefix(&place).expect("mounts are under the root");
            let mount = format!("/{}", below.display());
            let space = spaces.get(&mount).copied().ok_or(io::ErrorKind::NotFound)?;
            answer(space, &mount)
        });
        let linux = Linux::at(&root, ask);
        Host { root, fixture, linux, snapshot: Snapshot::default() }
    }

    /// Reads it, that many seconds after its beginning.
    pub fn read(&mut self, second: u64) -> &Snapshot {
        self.linux.read(Duration::from_secs(second), &mut self.snapshot);
        &self.snapshot
    }

    /// What a Prometheus server is told, that many seconds after its beginning. The clock stands.
    pub fn expose(&mut self, second: u64, format: Format) -> String {
        self.expose_slowly(second, format, Duration::ZERO)
    }

    /// The same, with a clock that finds so much more each time that it is looked at.
    pub fn expose_slowly(&mut self, second: u64, format: Format, step: Duration) -> String {
        let now = Duration::from_secs(second);
        let time = Cell::new(now);
        let clock = || time.replace(time.get() + step);
        let mut exposition = Exposition::new(format, 1024 * 1024, &clock);
        self.linux.expose(now, 1_700_000_000_000, &mut exposition);
        assert!(!exposition.is_too_long(), "it does not fit into an answer");
        let mut bytes = Vec::new();
        exposition.write(&mut bytes);
        String::from_utf8(bytes).expect("an exposition is UTF-8")
    }

    /// What node_exporter has been recorded to tell of the fixture.
    pub fn recorded(&self) -> PathBuf {
        self.fixture.join("node_exporter.txt")
    }

    /// The newest reading as a subscriber gets it, without what vitald measures of itself.
    pub fn json(&self) -> serde_json::Value {
        let topics = TOPICS.iter().map(|topic| topic.name).filter(|name| *name != "server");
        let selection = Selection::parse(topics).expect("every topic can be selected");
        serde_json::to_value(self.snapshot.select(&selection)).expect("a snapshot is JSON")
    }

    /// Puts the later files in place.
    pub fn advance(&self) {
        copy(&self.fixture.join("later"), &self.root);
    }

    /// What the fixture says of the second reading.
    pub fn expected(&self) -> PathBuf {
        self.fixture.join("expected.json")
    }

    pub fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().expect("a file is in a directory")).unwrap();
        fs::write(path, bytes).expect("a file can be written");
    }

    pub fn text(&self, path: &str) -> String {
        fs::read_to_string(self.root.join(path)).expect("a fixture's file can be read")
    }

    pub fn remove(&self, path: &str) {
        let path = self.root.join(path);
        let result = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        result.expect("a file can be removed");
    }

    /// Every file of both states, by its path.
    pub fn files(name: &str) -> Vec<String> {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
        let mut found = Vec::new();
        for part in ["proc", "sys", "run", "etc"] {
            list(&fixture.join(part), &mut found);
        }
        let below = found.iter().map(|path| path.strip_prefix(&fixture).expect("it is below"));
        let mut files: Vec<_> = below.map(|path| path.to_string_lossy().into_owned()).collect();
        files.sort();
        files
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

fn copy(from: &Path, to: &Path) {
    if !from.is_dir() {
        return;
    }
    fs::create_dir_all(to).expect("a directory can be made");
    for entry in fs::read_dir(from).expect("a fixture can be listed") {
        let path = entry.expect("an entry can be read").path();
        // No system can hold a name with a colon everywhere.
        let name = path.file_name().expect("an entry has a name").to_string_lossy();
        let target = to.join(name.replace("%3A", ":"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            // In place: what is held open has to see it.
            fs::write(target, fs::read(&path).expect("a fixture can be read")).expect("it fits");
        }
    }
}

fn list(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten() {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() { list(&path, found) } else { found.push(path) }
    }
}

fn lines(path: &Path) -> Vec<Vec<String>> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split(' ').map(str::to_owned).collect()).collect()
}

fn spaces(path: &Path) -> BTreeMap<String, Space> {
    let space = |words: Vec<String>| {
        let number = |index: usize| words[index].parse().expect("a column is a number");
        let space = Space {
            block_bytes: number(1),
            blocks: number(2),
            blocks_free: number(3),
            blocks_available: number(4),
            inodes: number(5),
            inodes_free: number(6),
        };
        (words[0].clone(), space)
    };
    lines(path).into_iter().map(space).collect()
}
