//! A strict reader of expositions: stricter than Prometheus, which takes blanks, comments, and
//! samples without a type.

use std::collections::{BTreeMap, BTreeSet};

/// Whether `text` is an exposition, or what is wrong with it. Gives each series with its value; a
/// series is a name and its labels, sorted.
pub fn check(text: &str, is_openmetrics: bool) -> Result<BTreeMap<String, f64>, String> {
    let body = match is_openmetrics {
        false => text,
        true => text.strip_suffix("# EOF\n").ok_or("no EOF")?,
    };
    if !body.is_empty() && !body.ends_with('\n') {
        return Err("the last line has no end".to_owned());
    }
    let mut series = BTreeMap::new();
    let mut announced = BTreeSet::new();
    let mut family: Option<(String, String)> = None;
    let mut lines = body.lines().peekable();
    while let Some(line) = lines.next() {
        let wrong = |what: &str| Err(format!("{what}: {line}"));
        if line.starts_with('#') {
            let first = split_announcement(line, is_openmetrics)?;
            let Some(next) = lines.next() else { return wrong("half an announcement") };
            let second = split_announcement(next, is_openmetrics)?;
            let (help, kind) = match is_openmetrics {
                false => (first, second),
                true => (second, first),
            };
            if (help.0, kind.0) != ("HELP", "TYPE") || help.1 != kind.1 {
                return wrong("announced out of order");
            }
            if !announced.insert(kind.1.to_owned()) {
                return wrong("announced twice");
            }
            if lines.peek().is_none_or(|line| line.starts_with('#')) {
                return wrong("a family without samples");
            }
            let total = if is_openmetrics && kind.2 == "counter" { "_total" } else { "" };
            family = Some((format!("{}{total}", kind.1), kind.2.to_owned()));
            continue;
        }
        let Some((name, kind)) = &family else { return wrong("a sample before its type") };
        let Some(rest) = line.strip_prefix(name.as_str()) else { return wrong("another's sample") };
        let (labels, value) = split_labels(rest).ok_or_else(|| format!("labels: {line}"))?;
        let value = number(value).ok_or_else(|| format!("number: {line}"))?;
        if kind == "counter" && !(name.ends_with("_total") && value >= 0.0) {
            return wrong("no counter");
        }
        let mut names: Vec<_> = labels.iter().map(|(name, _)| name.clone()).collect();
        names.dedup();
        if names.len() != labels.len() {
            return wrong("a label comes twice");
        }
        if series.insert(format!("{name}{labels:?}"), value).is_some() {
            return wrong("a series comes twice");
        }
    }
    Ok(series)
}

fn split_announcement(line: &str, is_openmetrics: bool) -> Result<(&str, &str, &str), String> {
    let parts: Vec<&str> = line.splitn(4, ' ').collect();
    let ["#", word, name, rest] = parts[..] else { return Err(format!("announced: {line}")) };
    let unknown = if is_openmetrics { "unknown" } else { "untyped" };
    let is_right = match word {
        "HELP" => is_escaped(rest, is_openmetrics),
        "TYPE" => ["counter", "gauge", unknown].contains(&rest),
        _ => false,
    };
    if is_right && is_metric_name(name) {
        Ok((word, name, rest))
    } else {
        Err(format!("announced: {line}"))
    }
}

fn is_metric_name(name: &str) -> bool {
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == ':';
    name.chars().all(is_letter) && name.starts_with(|letter: char| !letter.is_ascii_digit())
}

fn is_escaped(text: &str, with_quotes: bool) -> bool {
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' if !matches!(letters.next(), Some('\\' | 'n' | '"')) => return false,
            '"' if with_quotes => return false,
            '\n' => return false,
            _ => {}
        }
    }
    true
}

type Labels = BTreeSet<(String, String)>;

/// The labels and what follows them and one space.
fn split_labels(rest: &str) -> Option<(Labels, &str)> {
    let mut labels = Labels::new();
    if let Some(value) = rest.strip_prefix(' ') {
        return Some((labels, value));
    }
    let mut rest = rest.strip_prefix('{')?;
    loop {
        let (name, tail) = rest.split_once("=\"")?;
        (is_metric_name(name) && !name.contains(':')).then_some(())?;
        let bytes = tail.as_bytes();
        let mut end = 0;
        while *bytes.get(end)? != b'"' {
            end += if bytes[end] == b'\\' { 2 } else { 1 };
        }
        is_escaped(&tail[..end], true).then_some(())?;
        labels.insert((name.to_owned(), tail[..end].to_owned())).then_some(())?;
        match tail[end + 1..].strip_prefix(',') {
            Some(tail) => rest = tail,
            None => return Some((labels, tail[end + 1..].strip_prefix("} ")?)),
        }
    }
}

fn number(text: &str) -> Option<f64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_plain = digits.starts_with(|letter: char| letter.is_ascii_digit())
        && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    match text {
        "NaN" => Some(f64::NAN),
        "+Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        _ if is_plain => text.parse().ok(),
        _ => None,
    }
}
