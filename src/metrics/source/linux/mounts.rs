//! Lines of /proc/self/mountinfo (Documentation/filesystems/proc.rst, section 3.5).

use super::text;

/// One mount, as it stands there: paths may hold escapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mount<'a> {
    /// Major and minor number, by which a device that is mounted twice is known.
    pub device_number: &'a [u8],
    /// What of the file system is mounted.
    pub root: &'a [u8],
    /// Where.
    pub point: &'a [u8],
    /// The type of file system.
    pub kind: &'a [u8],
    /// What is mounted, as the type sees it.
    pub device: &'a [u8],
    /// Options of the file system, with commas between them.
    pub options: &'a [u8],
}

impl Mount<'_> {
    /// Reads a line: id, parent, device number, root, mount point, options, optional fields, a
    /// dash, type, device, options of the file system.
    pub fn parse(line: &[u8]) -> Option<Mount<'_>> {
        let mut words = text::words(line).skip(2);
        let (device_number, root, point) = (words.next()?, words.next()?, words.next()?);
        let mut words = words.skip_while(|word| *word != b"-").skip(1);
        let (kind, device) = (words.next()?, words.next()?);
        let options = words.next().unwrap_or_default();
        Some(Mount { device_number, root, point, kind, device, options })
    }
}

/// White space and backslashes stand as three octal digits.
pub fn unescape(word: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((&first, tail)) = rest.split_first() {
        let digits = tail.get(..3).filter(|digits| {
            first == b'\\' && digits.iter().all(|digit| (b'0'..=b'7').contains(digit))
        });
        let code = digits.map(|digits| {
            digits.iter().fold(0u32, |code, digit| code * 8 + u32::from(digit - b'0'))
        });
        match code.and_then(|code| u8::try_from(code).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn optional_fields_end_with_a_dash() {
        let line = b"24 22 0:20 /a /b rw shared:2 master:1 - cgroup c rw,cpu,cpuacct";
        let mount = Mount::parse(line).unwrap();
        assert_eq!((mount.root, mount.point, mount.kind), (&b"/a"[..], &b"/b"[..], &b"cgroup"[..]));
        assert_eq!((mount.device, mount.options), (&b"c"[..], &b"rw,cpu,cpuacct"[..]));
        assert_eq!(Mount::parse(b"24 22 0:20 / /b rw shared:2 cgroup c rw"), None);
    }

    #[test]
    fn escapes_are_three_octal_digits_and_anything_else_is_itself() {
        assert_eq!(unescape(b"a\\040b\\134c"), "a b\\c");
        assert_eq!(unescape(b"a\\04"), "a\\04");
        assert_eq!(unescape(b"\\777"), "\\777");
    }
}
