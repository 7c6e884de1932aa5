//! Who may connect to Unix listeners: `unix_mode` and `unix_group`.
//!
//! Owns what is said and how it is read. A group is looked up in /etc/group, which is parsed here,
//! as users are elsewhere: a program that is linked statically with glibc cannot ask its name
//! services. May import: the engine's rights.

use std::io;
use std::path::Path;

use crate::engine::net::FileRights;

/// The file that has the groups' numbers.
const GROUPS: &str = "/etc/group";

/// Mode and group of the files of Unix listeners.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnixSettings {
    /// The mode, up to 0o777; without one, as the umask has it.
    pub mode: Option<u32>,
    /// A name in /etc/group, or a number; without one, the group of vitald's process.
    pub group: Option<String>,
}

impl UnixSettings {
    /// The rights that are meant; `files` gives the bytes of a file.
    ///
    /// # Errors
    /// A sentence, if there is no such group.
    pub fn rights(
        &self,
        files: impl FnOnce(&Path) -> io::Result<Vec<u8>>,
    ) -> Result<FileRights, String> {
        let group = self.group.as_ref().map(|group| number_of(group, files)).transpose()?;
        Ok(FileRights { mode: self.mode, group })
    }
}

/// Reads a mode as operators write it: octal.
///
/// # Errors
/// A sentence that says what a mode looks like.
pub fn parse_mode(text: &str) -> Result<u32, String> {
    let is_octal = matches!(text.len(), 3 | 4) && text.bytes().all(|b| matches!(b, b'0'..=b'7'));
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| is_octal && *mode <= 0o777);
    mode.ok_or_else(|| {
        format!("\"{text}\" is not a mode: write three octal digits, as in \"0660\"")
    })
}

/// Reads the name or the number of a group.
///
/// # Errors
/// A sentence that says what a group looks like.
pub fn parse_group(text: &str) -> Result<String, String> {
    // What /etc/group cannot have: a colon ends the name there.
    let is_name = !text.is_empty() && !text.contains([':', ',', '/']);
    // The last number stands for no group at all.
    let is_right = match is_number(text) {
        true => text.parse::<u32>().is_ok_and(|number| number < u32::MAX),
        false => {
            is_name && !text.contains(|letter: char| letter.is_whitespace() || letter.is_control())
        }
    };
    match is_right {
        true => Ok(text.to_owned()),
        false => Err(format!("\"{text}\" is not a group: write a name of {GROUPS}, or a number")),
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn number_of(group: &str, files: impl FnOnce(&Path) -> io::Result<Vec<u8>>) -> Result<u32, String> {
    if is_number(group) {
        return group.parse().map_err(|_| format!("\"{group}\" is not the number of a group"));
    }
    let bytes = files(Path::new(GROUPS)).map_err(|error| {
        format!("{GROUPS}, which has the number of \"{group}\", cannot be read: {error}")
    })?;
    let number = bytes.split(|&byte| byte == b'\n').find_map(|line| {
        let mut fields = str::from_utf8(line).ok()?.split(':');
        let is_it = fields.next() == Some(group);
        is_it.then(|| fields.nth(1)?.parse().ok().filter(|&number| number < u32::MAX))?
    });
    number.ok_or_else(|| {
        format!("there is no group \"{group}\" in {GROUPS}: write one that is there, or a number")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_octal_and_has_three_digits() {
        for (text, mode) in [("660", 0o660), ("0660", 0o660), ("0777", 0o777), ("000", 0)] {
            assert_eq!(parse_mode(text), Ok(mode));
        }
        for text in ["", "66", "1777", "0o660", "668", "+660", "00660", "rw-"] {
            let sentence =
                format!("\"{text}\" is not a mode: write three octal digits, as in \"0660\"");
            assert_eq!(parse_mode(text), Err(sentence));
        }
    }

    #[test]
    fn a_group_is_a_name_or_a_number() {
        for text in ["adm", "www-data", "0", "4294967294", "dom\u{e4}ne"] {
            assert_eq!(parse_group(text), Ok(text.to_owned()));
        }
        for text in ["", "a:b", "a b", "a,b", "4294967295", "99999999999"] {
            let sentence =
                format!("\"{text}\" is not a group: write a name of /etc/group, or a number");
            assert_eq!(parse_group(text), Err(sentence));
        }
    }

    #[test]
    fn a_group_is_looked_up_by_its_whole_name() {
        let groups = b"root:x:0:\n#adm:x:1:\nbad\nworse:x:no:\nadmin:x:5:me,adm\nadm:x:4:me\n";
        let number = |group: &str| number_of(group, |_| Ok(groups.to_vec()));
        assert_eq!(number("adm"), Ok(4));
        assert_eq!(number("root"), Ok(0));
        assert_eq!(number("77"), Ok(77));
        for group in ["nobody", "worse", "bad", "ad"] {
            let sentence = format!(
                "there is no group \"{group}\" in /etc/group: write one that is there, or a number"
            );
            assert_eq!(number(group), Err(sentence));
        }
        let absent = |_: &Path| Err(io::Error::other("gone"));
        let sentence = "/etc/group, which has the number of \"adm\", cannot be read: gone";
        assert_eq!(number_of("adm", absent), Err(sentence.to_owned()));
        assert_eq!(number_of("4", |_| panic!("a number needs no file")), Ok(4));
    }
}
