//! A configuration written as the file that says the same.
//!
//! Promises: every key is there with the value in force, or commented out where there is none, and
//! what is written reads back as the same configuration. `packaging/vitald.example.toml` is what the
//! defaults look like, and vitald.toml(5) is made of it. Commands of alerts are written with their
//! arguments, for what is printed says the same: whoever keeps secrets there, and not in a file
//! that the command reads, shows them. May import: the rules of alerts.

use std::fmt::Write;
use std::path::Path;

use super::{Config, Origin, TlsSettings, Token, duration_text};
use crate::metrics::alerts::{Bound, Rule};

impl Config {
    /// The file that says the same, with what each key means. Paths must be UTF-8, and the level a
    /// name that can be read: what comes from files and options is.
    pub fn to_toml(&self) -> String {
        let mut page = Page { text: String::new() };
        page.lines(HEAD);
        self.print_top(&mut page);
        page.section("[tls]");
        let file = |path: fn(&TlsSettings) -> &Path| {
            self.tls.as_deref().map(|tls| quoted(&path(tls).display().to_string()))
        };
        let certificate = file(TlsSettings::certificate);
        page.optional(CERTIFICATE, "certificate", certificate, "\"/etc/vitald/certificate.pem\"");
        page.optional(KEY, "key", file(TlsSettings::key), "\"/etc/vitald/key.pem\"");
        page.section("[history]");
        page.entry(SERIES, "series", &self.history.series_max.to_string());
        let path = self.history.path.as_ref().map(|path| quoted(&path.display().to_string()));
        page.optional(HISTORY_PATH, "path", path, "\"/var/lib/vitald/history\"");
        page.entry(WRITE_EVERY, "write_every", &quoted(&duration_text(self.history.write_every)));
        page.section("[processes]");
        page.entry(COMMANDS, "commands", &quoted(self.processes.commands.name()));
        page.section("[dashboard]");
        let texts = |list: &[Origin]| array(list.iter().map(ToString::to_string));
        page.entry(HOSTS, "hosts", &texts(&self.dashboard.hosts));
        page.entry(FRAMES, "frame_ancestors", &texts(&self.dashboard.frame_ancestors));
        page.push(format_args!("\n"));
        page.lines(ALERTS);
        self.alerts.iter().for_each(|rule| print_alert(rule, &mut page));
        page.text
    }

    fn print_top(&self, page: &mut Page) {
        let listen = self.listen.iter().map(ToString::to_string);
        page.entry(LISTEN, "listen", &array(listen));
        let mode = self.unix.mode.map(|mode| quoted(&format!("{mode:04o}")));
        page.optional(UNIX_MODE, "unix_mode", mode, "\"0660\"");
        let group = self.unix.group.as_deref().map(quoted);
        page.optional(UNIX_GROUP, "unix_group", group, "\"www-data\"");
        page.entry(INTERVAL, "interval", &quoted(&duration_text(self.interval)));
        let idle = self.sample_when_idle.map(|idle| quoted(&duration_text(idle)));
        page.optional(SAMPLE_WHEN_IDLE, "sample_when_idle", idle, "\"10s\"");
        page.entry(MAX_CONNECTIONS, "max_connections", &self.connections_max.to_string());
        let level = self.log_level.as_str().to_ascii_lowercase();
        page.entry(LOG_LEVEL, "log_level", &quoted(&level));
        page.entry(NO_AUTH, "no_auth", &self.no_auth.to_string());
        let token = self.token.as_ref().and_then(Token::file);
        let token = token.map(|path| quoted(&path.display().to_string()));
        page.optional(TOKEN_FILE, "token_file", token, "\"/etc/vitald/token\"");
        page.entry(ALLOW_HOST, "allow_host", &array(self.allow_hosts.iter().cloned()));
        page.entry(
            ALLOW_ORIGIN,
            "allow_origin",
            &array(self.allow_origins.iter().map(ToString::to_string)),
        );
    }
}

fn print_alert(rule: &Rule, page: &mut Page) {
    let (above_or_below, threshold) = match rule.bound {
        Bound::Above(threshold) => ("above", threshold),
        Bound::Below(threshold) => ("below", threshold),
    };
    page.section("[[alert]]");
    for (key, value) in [
        ("name", quoted(&rule.name)),
        ("enabled", rule.enabled.to_string()),
        ("metric", quoted(&rule.metric)),
        (above_or_below, number(threshold)),
        ("clear", number(rule.clear)),
        ("hold", quoted(&duration_text(rule.hold))),
        ("severity", quoted(rule.severity.name())),
        ("command", array(rule.command.iter().cloned())),
    ] {
        page.push(format_args!("{key} = {value}\n"));
    }
}

const HEAD: &str = "\
Configuration of vitald. Every key is here with the value in force; all may be left out.
It is read from /etc/vitald/vitald.toml, or from the file that --config or VITALD_CONFIG names.
Options and variables override it. \"vitald check\" checks it and prints it complete.";
const LISTEN: &str = "\
Where to listen: \"host:port\", \"[v6]:port\" or \"unix:/path\"; one, or an array of several.
Port 0 takes a free one. [--listen, VITALD_LISTEN]";
const UNIX_MODE: &str = "\
The mode of the files of Unix listeners, in octal: who may write to one may connect. Left out, as
the umask has it.";
const UNIX_GROUP: &str = "\
Their group, by its name in /etc/group or its number: one that vitald's user is in. Left out,
that of vitald's process.";
const INTERVAL: &str = "\
How often the host is sampled: \"100ms\" to \"1h\". [--interval, VITALD_INTERVAL]";
const SAMPLE_WHEN_IDLE: &str = "\
How often while nobody watches: from the interval to \"1h\". Left out, the interval always.
In history each figure then stands until the next sample.";
const MAX_CONNECTIONS: &str = "\
Connections of every kind at a time: 1 to 1000000. [--max-connections]";
const LOG_LEVEL: &str = "\
What is logged: \"error\", \"warn\", \"info\", \"debug\" or \"trace\". [--log-level, VITALD_LOG]";
const NO_AUTH: &str = "\
Whether addresses beyond loopback are served although nobody is asked for a token: true
knowingly opens them to everyone there. [--no-auth]";
const TOKEN_FILE: &str = "\
The file whose first line is the token that every request must show. Only vitald's user should
be able to read it. Left out, nobody is asked. [--token-file; VITALD_TOKEN is the token itself]";
const ALLOW_HOST: &str = "\
Host names by which requests may address this server, besides its own. [--allow-host]";
const ALLOW_ORIGIN: &str = "\
Origins of foreign pages that may open a WebSocket and read answers, such as
\"https://example.org\". [--allow-origin]";
const CERTIFICATE: &str = "\
The file of the certificate, with those that vouch for it behind it, in PEM. With it and its key
all who come by TCP speak TLS, where vitald is built with the feature tls. Read again on SIGHUP.";
const KEY: &str = "\
The file of its key, in PEM. Only vitald's user should be able to read it.";
const SERIES: &str = "\
Series that are remembered at most: 1 to 1024. A small host has 40 figures and 5 to 8 a disk,
file system or interface. A file for another number is set aside, and a new one begun.";
const HISTORY_PATH: &str = "\
The file that keeps the history across restarts, an absolute path. Left out, a restart forgets.
What is there and cannot be used is renamed, \".broken\" and up to \".broken.9\" added to its name,
and none of those is overwritten. While it cannot be written, history goes on in memory.";
const WRITE_EVERY: &str = "\
How often that file is written: \"1m\" to \"1h\".";
const COMMANDS: &str = "\
Who is shown the command lines of processes, which can hold secrets: \"always\" everybody,
\"authenticated\" those who have shown the token, \"never\" nobody. Where there is no token
\"authenticated\" shows them to nobody, not over a Unix socket either.";
const HOSTS: &str = "\
Further vitalds that the page shows, at most 32, such as \"http://pi:8485\": the browser connects
to them itself, and each must allow this one's origin (allow_origin).";
const FRAMES: &str = "\
Origins of pages that may show this one in a frame, such as \"https://home.example\". None may
unless it is named here. In a frame of another site there are no sessions.";
const ALERTS: &str = "\
Alerts. The first five are built in: one of their names changes what is said of it, and it is
off when enabled is false. Another name makes an alert of its own, at most 64 in all.
metric    a figure by its path; * in the place of a name watches each row by itself
above     values above it are bad; or below: values below it are
clear     where it resolves; left out, a tenth of the bound's size on its good side
hold      how long every value must be bad to fire: up to \"24h\"; left out, \"10s\"
severity  \"info\", \"warning\" or \"critical\"; left out, \"warning\"
command   a program and its arguments, run without a shell when it fires and when it resolves;
          {name} {metric} {state} {value} {threshold} {severity} {since} stand for the facts,
          which are in the environment as well, as VITALD_ALERT_NAME and so on";

/// What is written so far.
struct Page {
    text: String,
}

impl Page {
    /// Lines of a comment.
    fn lines(&mut self, comment: &str) {
        for line in comment.lines() {
            self.push(format_args!("# {line}\n"));
        }
    }

    /// The head of a section.
    fn section(&mut self, head: &str) {
        self.push(format_args!("\n{head}\n"));
    }

    /// A key with its meaning and its value, which is TOML.
    fn entry(&mut self, comment: &str, key: &str, value: &str) {
        self.text.push('\n');
        self.lines(comment);
        self.push(format_args!("{key} = {value}\n"));
    }

    /// A key that may have no value: then it is commented out, with an example.
    fn optional(&mut self, comment: &str, key: &str, value: Option<String>, example: &str) {
        match value {
            Some(value) => self.entry(comment, key, &value),
            None => self.entry(comment, &format!("# {key}"), example),
        }
    }

    fn push(&mut self, line: std::fmt::Arguments<'_>) {
        self.text.write_fmt(line).expect("a String takes all that is written to it");
    }
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            // TOML asks for the first 32 and DEL; the others would reach a terminal.
            _ if letter.is_control() => quoted.push_str(&format!("\\u{:04X}", letter as u32)),
            _ => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

/// A number of TOML: whole ones without a point, as operators write them.
fn number(number: f64) -> String {
    // Below 2^53 every whole number is one of 64 bits, exactly.
    match number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0 {
        true => (number as i64).to_string(),
        false => format!("{number:?}"),
    }
}

fn array(texts: impl Iterator<Item = String>) -> String {
    let texts: Vec<String> = texts.map(|text| quoted(&text)).collect();
    format!("[{}]", texts.join(", "))
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::config::{
        CommandLines, DashboardSettings, Draft, INTERVAL_MAX, INTERVAL_MIN, Listen,
        ProcessSettings, TokenFrom, UnixSettings, WRITE_EVERY as WRITE_EVERY_RANGE, read_into,
    };
    use crate::metrics::alerts::{HOLD_MAX, Rules, Setting};
    use crate::metrics::history::HistoryOptions;

    const EXAMPLE: &str = include_str!("../../packaging/vitald.example.toml");

    fn read(text: &str) -> Result<Config, String> {
        let mut draft = Draft::default();
        read_into(&mut draft, Path::new("/f"), text)?;
        draft.finish()
    }

    #[test]
    fn the_example_is_the_defaults_and_what_check_prints_of_them() {
        assert_eq!(read(EXAMPLE), Ok(Config::default()));
        assert_eq!(
            Config::default().to_toml(),
            EXAMPLE,
            "the defaults or what is said of them has changed; write the example anew: \
             cargo run --example pages"
        );
    }

    #[test]
    fn the_example_has_every_key_with_a_value_that_is_accepted() {
        let is_key =
            |line: &&str| line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
        let bare = |line| str::strip_prefix(line, "# ").filter(is_key).unwrap_or(line);
        let full: String = EXAMPLE.lines().map(|line| bare(line).to_owned() + "\n").collect();
        // The keys of TLS are there too, and files, and are refused where it is not built in.
        let without = full.replace("\ncertificate = ", "\n# ").replace("\nkey = ", "\n# ");
        assert_eq!(full.len() - without.len(), "certificate = key = ".len() - 2 * "# ".len());
        let config = read(&without).unwrap();
        assert!(config.sample_when_idle.is_some() && config.history.path.is_some());
        for page in ["", "[history]\n", "[processes]\n", "[dashboard]\n"] {
            // The refusal of a key lists those that there are.
            let sentence = read(&format!("{page}xxxxxxxx = 1")).unwrap_err();
            let keys = sentence.rsplit_once("the keys here are ").unwrap().1;
            for key in keys.split(", ") {
                let is_there = full.contains(&format!("\n{key} = "));
                let heads = [format!("\n[{key}]\n"), format!("\n[[{key}]]\n")];
                assert!(is_there || heads.iter().any(|head| full.contains(head)), "{key}");
            }
        }
    }

    #[test]
    fn of_a_token_only_its_file_is_written() {
        let from = TokenFrom::File(PathBuf::from("/etc/t"));
        let token = from.read(|_| Ok(b"hush\n".to_vec())).unwrap();
        let config = |token| Config { token: Some(token), ..Config::default() };
        let text = config(token.clone()).to_toml();
        assert!(text.contains("\ntoken_file = \"/etc/t\"\n") && !text.contains("hush"), "{text}");
        let variable = TokenFrom::Variable(token.secret().clone());
        let text = config(variable.read(|_| panic!("there is no file")).unwrap()).to_toml();
        assert_eq!(text, EXAMPLE);
    }

    fn durations(first: Duration, last: Duration) -> impl Strategy<Value = Duration> {
        (first.as_micros() as u64..=last.as_micros() as u64).prop_map(Duration::from_micros)
    }

    fn listens() -> impl Strategy<Value = Vec<Listen>> {
        let listen = prop_oneof![
            Just(Listen::Tcp("[::1]:0".to_owned())),
            any::<u16>().prop_map(|port| Listen::Tcp(format!("h.example:{port}"))),
            "/[^/\0]{1,20}".prop_map(|path| Listen::Unix(PathBuf::from(path))),
        ];
        prop::collection::vec(listen, 1..4).prop_map(|all| {
            let is_first = |at: &usize| !all[..*at].contains(&all[*at]);
            (0..all.len()).filter(is_first).map(|at| all[at].clone()).collect()
        })
    }

    fn histories() -> impl Strategy<Value = HistoryOptions> {
        let path = prop::option::of("/[^\0]{0,19}[^./\0]".prop_map(PathBuf::from));
        let write_every = durations(*WRITE_EVERY_RANGE.start(), *WRITE_EVERY_RANGE.end());
        (1..=1024_usize, path, write_every).prop_map(|(series_max, path, write_every)| {
            HistoryOptions { series_max, path, write_every }
        })
    }

    /// The built-in alerts with others over them and beside them.
    fn alerts() -> impl Strategy<Value = Rules> {
        let numbers = || prop::num::f64::NORMAL | prop::num::f64::ZERO;
        let names = prop_oneof!["\\PC{1,12}", Just("cpu".to_owned())];
        let settings = (
            (names, any::<bool>(), numbers(), any::<bool>()),
            (durations(Duration::ZERO, HOLD_MAX), prop::collection::vec("[^\0]{1,8}", 0..3)),
        )
            .prop_map(|((name, is_above, threshold, enabled), (hold, command))| Setting {
                name,
                enabled: Some(enabled),
                metric: Some("disks.*.await_ms".to_owned()),
                above: is_above.then_some(threshold),
                below: (!is_above).then_some(threshold),
                hold: Some(hold),
                command: Some(command),
                ..Setting::default()
            });
        prop::collection::vec(settings, 0..4).prop_map(|settings| {
            let mut rules = Rules::default();
            for setting in settings {
                // Of two with one name the first counts.
                let _ = rules.set(&setting);
            }
            rules
        })
    }

    fn configs() -> impl Strategy<Value = Config> {
        let commands = prop::sample::select(&CommandLines::ALL[..]);
        let levels = prop::sample::select(vec![log::LevelFilter::Error, log::LevelFilter::Trace]);
        let hosts = || prop::collection::vec("[A-Za-z][A-Za-z0-9_-]{0,12}", 0..3);
        let origin = "https?://[a-z]{1,8}(:[1-9][0-9]{0,3})?";
        let origin = || origin.prop_map(|text| Origin::parse(&text).expect("it is one"));
        let origins = || prop::collection::vec(origin(), 0..3);
        let intervals = durations(INTERVAL_MIN, INTERVAL_MAX);
        let idle = prop::option::of(0.0..=1.0);
        let groups = prop::option::of("[a-z\"\\\\]{1,8}|[0-9]{1,9}");
        let rights = (prop::option::of(0..=0o777_u32), groups);
        let rights = rights.prop_map(|(mode, group)| UnixSettings { mode, group });
        (
            ((listens(), rights), intervals, idle, any::<bool>(), 1..=1_000_000_usize),
            (hosts(), (origins(), origins(), origins()), levels, histories(), commands, alerts()),
        )
            .prop_map(|((listen, interval, idle, no_auth, connections_max), rest)| {
                let (listen, unix) = listen;
                let (allow_hosts, origins, log_level, history, commands, alerts) = rest;
                let (allow_origins, hosts, frame_ancestors) = origins;
                let between = |part| interval + (INTERVAL_MAX - interval).mul_f64(part);
                let whole = |time: Duration| Duration::from_micros(time.as_micros() as u64);
                Config {
                    listen,
                    unix,
                    interval,
                    sample_when_idle: idle.map(between).map(whole),
                    no_auth,
                    token: None,
                    tls: None,
                    connections_max,
                    allow_hosts,
                    allow_origins,
                    log_level,
                    history,
                    processes: ProcessSettings { commands },
                    dashboard: DashboardSettings { hosts, frame_ancestors },
                    alerts,
                }
            })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_as_the_same(config in configs()) {
            prop_assert_eq!(config.check(), Ok(()));
            let text = config.to_toml();
            prop_assert_eq!(read(&text), Ok(config), "{}", text);
        }
    }
}
