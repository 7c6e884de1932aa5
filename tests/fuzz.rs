//! The fuzz targets on the stable compiler: each on its corpus, then on inputs that are mutated
//! from it by numbers that are the same in every run.
//!
//! `VITALD_FUZZ_INPUTS` is how many, `VITALD_FUZZ_SEED` the first one's seed; a failure names the
//! seed that gives its input again.

mod targets;

use std::env;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use vitald::engine::random::Random;

/// Inputs of each target unless the environment says otherwise.
const INPUTS: u64 = 1200;

/// Bytes of an input; some mutations would make it grow for ever.
const BYTES_MAX: usize = 10_000;

#[test]
fn the_head_target_holds() {
    fuzz("head", targets::head::run, &HEAD);
}

#[test]
fn the_websocket_target_holds() {
    fuzz("websocket", targets::websocket::run, &WEBSOCKET);
}

#[test]
fn the_message_target_holds() {
    fuzz("message", targets::message::run, &MESSAGE);
}

#[test]
fn the_config_target_holds() {
    fuzz("config", targets::config::run, &CONFIG);
}

#[test]
fn the_file_target_holds() {
    fuzz("file", targets::file::run, &FILE);
}

/// What chance alone does not write.
struct Language {
    words: &'static [&'static [u8]],
    /// Bytes behind which a word may stand and leave the whole well-formed.
    joints: &'static [u8],
}

const HEAD: Language = Language {
    words: &[
        b"\r\n",
        b"\r\n\r\n",
        b" HTTP/1.1\r\n",
        b"HTTP/1.0",
        b"HTTP/2.0",
        b"HEAD ",
        b"Host: h\r\n",
        b"Content-Length: 0\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: close\r\n",
        b"Upgrade: websocket\r\n",
        b"http://h",
        b"?",
        b"[::1]",
        b"GET / HTTP/1.1\r\nHost: [::1]:1\r\n\r\n",
    ],
    joints: b"\n ",
};

/// Frames whose mask is zeros, and what the target's handler takes for orders.
const WEBSOCKET: Language = Language {
    words: &[
        b"\x81\x81\0\0\0\0b",
        b"\x81\x81\0\0\0\0c",
        b"\x81\x81\0\0\0\0p",
        b"\x81\x85\0\0\0\0hello",
        b"\x01\x81\0\0\0\0x",
        b"\x80\x81\0\0\0\0y",
        b"\x89\x82\0\0\0\0hi",
        b"\x88\x82\0\0\0\0\x03\xe8",
        b"\x82\xfe\x03\xe8\0\0\0\0",
        b"\xc1\x87\0\0\0\0\xf2\x48\xcd\xc9\xc9\x07\0",
        b"\x41\x83\0\0\0\0\xf2\x48\xcd",
        b"\x80\x84\0\0\0\0\xc9\xc9\x07\0",
        b"\xc2\x88\0\0\0\0\xf3\x48\xcd\xc9\xc9\x07\0\0",
        b"\xc1\x81\0\0\0\0\0",
    ],
    joints: b"bcpxyo",
};

const MESSAGE: Language = Language {
    words: &[
        b"\"id\":1,",
        b"\"id\":\"\",",
        b"\"type\":\"ping\",",
        b"\"type\":\"subscribe\",",
        b"\"topics\":[\"cpu.usage\"],",
        b"\"sub\":\"\",",
        b"\"sub\":\"fast\",",
        b"\"interval_ms\":1001,",
        b"\"mode\":\"last\",",
        b"\"type\":\"get\",",
        b"\"what\":\"history\",",
        b"\"what\":\"server\",",
        b"\"metric\":[\"cpu.usage\"],",
        b"\"points\":1,",
        b"\"disks.vda\",",
        b"\"disks.*.await_ms\",",
        b"\"networks.*\",",
        b"null,",
        b"1e999,",
        b"\\ud800",
        b"18446744073709551616,",
        b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
        b"\n",
    ],
    joints: b"{,[",
};

const CONFIG: Language = Language {
    words: &[
        b"--listen\0",
        b"unix:/\0",
        b"[::1]:0\0",
        b"--interval\0",
        b"100ms\0",
        b"1.5s\0",
        b"9e9s\0",
        b"VITALD_LISTEN=",
        b"VITALD_INTERVAL=",
        b"VITALD_LOG=",
        b"--max-connections=",
        b"1000001\0",
        b"once\0",
        b"--pretty\0",
        b"--allow-host=\x1b",
        b"--no-auth\0",
        b"\xc2\x9b",
        b"--config=f\0",
        b"VITALD_CONFIG=f\0",
        b"check\0",
        b"#\ninterval = \"2s\"\nno_auth = true\0",
    ],
    joints: b"\0=,",
};

const FILE: Language = Language {
    words: &[
        b"listen = \"127.0.0.1:1\"\n",
        b"listen = [\"unix:/x\", \"[::1]:1\"]\n",
        b"interval = \"1.5s\"\n",
        b"sample_when_idle = \"1h\"\n",
        b"max_connections = 0x_ff\n",
        b"max_connections = 1_000\n",
        b"log_level = 'trace'\n",
        b"no_auth = true\n",
        b"allow_host = [\"\\u0007\", \"\"]\n",
        b"allow_origin = \"\"\"\n\"\"\"\n",
        b"[history]\n",
        b"series = 1024\n",
        b"path = '/x'\n",
        b"write_every = \"1h\"\n",
        b"[processes]\n",
        b"[[history]]\n",
        b"[[alert]]\n",
        b"name = \"cpu\"\n",
        b"metric = \"disks.*.await_ms\"\n",
        b"above = -1.5e-7\n",
        b"below = 9007199254740993\n",
        b"clear = 0\n",
        b"hold = \"0s\"\n",
        b"severity = \"info\"\n",
        b"command = [\"\\u0000\", \"{name}\"]\n",
        b"commands = \"never\"\n",
        b"history.series = 1\n",
        b"history = { series = 2 }\n",
        b"1979-05-27T07:32:00Z",
        b"99999999999999999999",
        b"\xef\xbb\xbf",
        b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
        b"\"",
        b"\r\n",
    ],
    joints: b"\n=",
};

fn fuzz(name: &str, target: fn(&[u8]), language: &Language) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let files = fs::read_dir(&folder).expect("the corpus is there");
    let mut files: Vec<_> = files.map(|file| file.expect("a file can be named").path()).collect();
    files.sort();
    let corpus: Vec<Vec<u8>> =
        files.iter().map(|file| fs::read(file).expect("a file can be read")).collect();
    assert!(!corpus.is_empty(), "the corpus has inputs");
    for (file, input) in files.iter().zip(&corpus) {
        try_input(target, input, &format!("{}", file.display()));
    }
    let first = number("VITALD_FUZZ_SEED", 0);
    for seed in first..first + number("VITALD_FUZZ_INPUTS", INPUTS) {
        let input = mutated(&corpus, language, &mut Random::new(seed));
        let again = format!("VITALD_FUZZ_SEED={seed} VITALD_FUZZ_INPUTS=1");
        try_input(target, &input, &again);
    }
}

fn number(variable: &str, default: u64) -> u64 {
    let value = env::var(variable);
    value.map_or(default, |value| value.parse().expect("the variable is a number"))
}

fn try_input(target: fn(&[u8]), input: &[u8], again: &str) {
    let result = catch_unwind(AssertUnwindSafe(|| target(input)));
    assert!(result.is_ok(), "the input of {again} fails: \"{}\"", input.escape_ascii());
}

/// An input of the corpus with a few changes.
fn mutated(corpus: &[Vec<u8>], language: &Language, random: &mut Random) -> Vec<u8> {
    let mut input = corpus[random.below(corpus.len())].clone();
    for _ in 0..1 + random.below(6) {
        let at = random.below(input.len() + 1);
        let end = at + random.below((input.len() - at).min(40) + 1);
        let word = language.words[random.below(language.words.len())].iter().copied();
        match random.below(8) {
            0 if at < input.len() => input[at] ^= 1 << random.below(8),
            1 if at < input.len() => input[at] = random.draw() as u8,
            2 => drop(input.drain(at..end)),
            3 => drop(input.splice(at..at, input[at..end].to_vec().repeat(1 + random.below(8)))),
            4 => drop(input.splice(at..at, word)),
            5 | 6 => {
                let is_joint = |byte: &u8| language.joints.contains(byte);
                let joint = input[at..].iter().position(is_joint).map_or(0, |found| at + found + 1);
                drop(input.splice(joint..joint, word));
            }
            7 => {
                let other = &corpus[random.below(corpus.len())];
                input.truncate(at);
                input.extend_from_slice(&other[random.below(other.len() + 1)..]);
            }
            _ => drop(input.splice(at..at, [random.draw() as u8])),
        }
    }
    input.truncate(BYTES_MAX);
    input
}
