//! Joins the dashboard's files into one page that the binary carries, and takes the white space out
//! of the messages' schema.
//!
//! Reads `src/app/dashboard/` and writes to `OUT_DIR`: `dashboard.html`, `dashboard.html.gz`, and
//! `dashboard.rs` with the Content-Security-Policy (which allows exactly this script and this
//! style, by hash) and the ETags. The same sources give the same bytes: nothing here depends on
//! time, path or directory order.
//!
//! The scripts are ES modules in one scope: a line that starts with `import` is dropped, the word
//! `export` at the start of a line too. For this to be right without a parser the scripts keep four
//! rules, each checked below: an import is one line and names a script that stands earlier in
//! SCRIPTS; nothing is exported as default or in braces; no two scripts declare one name at top
//! level; no text literal spans lines (so that indentation and whole-line comments can go).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs};

use data_encoding::{BASE64, HEXLOWER};
use sha2::{Digest, Sha256};

const DIRECTORY: &str = "src/app/dashboard";
const SCHEMA: &str = "src/app/schema/messages.json";
const SCRIPTS: [&str; 19] = [
    "clock.js",
    "units.js",
    "dom.js",
    "definitions.js",
    "store.js",
    "past.js",
    "options.js",
    "signin.js",
    "connection.js",
    "feed.js",
    "chart.js",
    "tiles.js",
    "hosts.js",
    "table.js",
    "poller.js",
    "processes.js",
    "alerts.js",
    "server.js",
    "main.js",
];
const STYLE_TAG: &str = "<link rel=\"stylesheet\" href=\"style.css\">";
const SCRIPT_TAG: &str = "<script type=\"module\" src=\"main.js\"></script>";

type Result<T> = std::result::Result<T, String>;

fn main() -> Result<()> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={DIRECTORY}");
    println!("cargo:rerun-if-changed={SCHEMA}");
    let manifest = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let root = manifest.join(DIRECTORY);
    let out = PathBuf::from(variable("OUT_DIR")?);
    let schema = compact_json(&read(&manifest.join(SCHEMA))?);
    write(&out.join("messages.json"), schema.as_bytes())?;
    refuse_unlisted_scripts(&root)?;

    let script = join_scripts(&root)?;
    let style = compact_style(&read(&root.join("style.css"))?)?;
    let page = join_page(&read(&root.join("index.html"))?, &style, &script)?;
    let compressed = compress(page.as_bytes())?;

    let digest = HEXLOWER.encode(&Sha256::digest(page.as_bytes())[..12]);
    let constants = format!(
        "pub const CONTENT_SECURITY_POLICY: &str = {:?};\n\
         pub const ETAG: &str = {:?};\n\
         pub const ETAG_GZIP: &str = {:?};\n",
        policy(&style, &script),
        format!("\"{digest}\""),
        format!("\"{digest}-gzip\""),
    );
    write(&out.join("dashboard.html"), page.as_bytes())?;
    write(&out.join("dashboard.html.gz"), &compressed)?;
    write(&out.join("dashboard.rs"), constants.as_bytes())
}

/// Everything is forbidden but what the page holds itself and a WebSocket to where it came from.
fn policy(style: &str, script: &str) -> String {
    let hash = |text: &str| BASE64.encode(&Sha256::digest(text.as_bytes()));
    format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash(script),
        hash(style),
    )
}

fn join_page(index: &str, style: &str, script: &str) -> Result<String> {
    let mut page = compact_lines(index, |line| line.starts_with("<!--") && line.ends_with("-->"));
    for (tag, inline) in [
        (STYLE_TAG, format!("<style>{style}</style>")),
        (SCRIPT_TAG, format!("<script type=\"module\">{script}</script>")),
    ] {
        if page.matches(tag).count() != 1 {
            return Err(format!("{DIRECTORY}/index.html: needs the tag {tag} exactly once"));
        }
        page = page.replace(tag, &inline);
    }
    Ok(page)
}

fn join_scripts(root: &Path) -> Result<String> {
    let mut joined = String::new();
    let mut declared = BTreeMap::new();
    for (index, name) in SCRIPTS.iter().enumerate() {
        let text = read(&root.join(name))?;
        for (number, line) in text.lines().enumerate() {
            let place = format!("{DIRECTORY}/{name}:{}", number + 1);
            let Some(kept) = script_line(line, &SCRIPTS[..index], &place)? else {
                continue;
            };
            if let Some(identifier) = declaration(kept)
                && let Some(first) = declared.insert(identifier.to_owned(), place.clone())
            {
                return Err(format!("{place}: {identifier} is already declared at {first}"));
            }
            joined.push_str(kept.trim());
            joined.push('\n');
        }
    }
    // Either would end or upset the element that the script is put into.
    if joined.contains("</script") || joined.contains("<!--") {
        return Err(format!("{DIRECTORY}: a script must not contain </script or <!--"));
    }
    Ok(joined)
}

/// One line of a script as it goes into the page, or nothing.
fn script_line<'a>(line: &'a str, earlier: &[&str], place: &str) -> Result<Option<&'a str>> {
    let trimmed = line.trim();
    if trimmed.is_empty() || trimmed.starts_with("//") {
        return Ok(None);
    }
    if trimmed.matches('`').count() % 2 == 1 || trimmed.contains("/*") || trimmed.ends_with('\\') {
        return Err(format!("{place}: text and comments must not span lines"));
    }
    if line.starts_with("import ") {
        let from = line.split("\"./").nth(1).and_then(|rest| rest.strip_suffix("\";"));
        return match from {
            Some(name) if earlier.contains(&name) && !line.contains(" as ") => Ok(None),
            _ => Err(format!(
                "{place}: an import must be `import {{ .. }} from \"./earlier.js\";` on one line"
            )),
        };
    }
    match line.strip_prefix("export ") {
        Some(rest) if declaration(rest).is_none() => {
            Err(format!("{place}: only const, class and function can be exported"))
        }
        Some(rest) => Ok(Some(rest)),
        None => Ok(Some(line)),
    }
}

/// The name that an unindented line declares for all scripts.
fn declaration(line: &str) -> Option<&str> {
    let rest = ["const ", "let ", "class ", "function ", "async function "]
        .iter()
        .find_map(|word| line.strip_prefix(word))?;
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    (end > 0).then_some(&rest[..end])
}

/// Drops comments and indentation. No string in the sheet holds a comment's marks or a line end.
fn compact_style(text: &str) -> Result<String> {
    let mut kept = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("/*") {
        kept.push_str(before);
        rest = after
            .split_once("*/")
            .ok_or_else(|| format!("{DIRECTORY}/style.css: a comment has no end"))?
            .1;
    }
    kept.push_str(rest);
    if kept.contains("</style") {
        return Err(format!("{DIRECTORY}/style.css: must not contain </style"));
    }
    Ok(compact_lines(&kept, |_| false))
}

/// Drops the white space between tokens. No text in the schema holds a quotation mark.
fn compact_json(text: &str) -> String {
    let mut is_text = false;
    let kept = text.chars().filter(|character| {
        is_text ^= *character == '"';
        is_text || !character.is_ascii_whitespace()
    });
    kept.collect()
}

fn compact_lines(text: &str, drop: impl Fn(&str) -> bool) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !drop(line));
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// The header carries neither time nor name, so that equal pages give equal bytes.
fn compress(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut compressed = Vec::new();
    zopfli::compress(zopfli::Options::default(), zopfli::Format::Gzip, bytes, &mut compressed)
        .map_err(|error| format!("dashboard.html.gz: {error}"))?;
    Ok(compressed)
}

/// A script that is not in SCRIPTS would be silently left out of the page.
fn refuse_unlisted_scripts(root: &Path) -> Result<()> {
    let directory = fs::read_dir(root).map_err(|error| format!("{}: {error}", root.display()))?;
    for entry in directory {
        let name = entry.map_err(|error| format!("{}: {error}", root.display()))?.file_name();
        let name = name.to_string_lossy();
        if name.ends_with(".js") && !SCRIPTS.contains(&name.as_ref()) {
            return Err(format!("{DIRECTORY}/{name}: not listed in SCRIPTS of build.rs"));
        }
    }
    Ok(())
}

fn variable(name: &str) -> Result<String> {
    env::var(name).map_err(|error| format!("{name}: {error}"))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).map_err(|error| format!("{}: {error}", path.display()))
}
