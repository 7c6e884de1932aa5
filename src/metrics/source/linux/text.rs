//! Numbers and words in the kernel's text files, without allocation and without panics.

/// The lines, without their ends.
pub fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == b'\n')
}

/// The words between white space.
pub fn words(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}

/// A whole number: digits alone, within 64 bits.
pub fn number(word: &[u8]) -> Option<u64> {
    if word.is_empty() {
        return None;
    }
    word.iter().try_fold(0u64, |value, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

/// A number with decimals, of no more digits than the kernel prints of 64 bits.
pub fn decimal(word: &[u8]) -> Option<f64> {
    let is_plain = word.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
    str::from_utf8(word).ok().filter(|word| is_plain && word.len() <= 24)?.parse().ok()
}

/// The number behind `name` on the line that begins with it.
pub fn value_of(bytes: &[u8], name: &[u8]) -> Option<u64> {
    lines(bytes).find_map(|line| {
        let mut words = words(line);
        (words.next() == Some(name)).then(|| words.next().and_then(number)).flatten()
    })
}

/// The word behind `name` on the line that begins with `start`.
pub fn word_after<'a>(bytes: &'a [u8], start: &[u8], name: &[u8]) -> Option<&'a [u8]> {
    let line = lines(bytes).find(|line| words(line).next() == Some(start))?;
    let mut words = words(line).skip_while(|word| *word != name).skip(1);
    words.next()
}

/// A whole number that may be below zero.
pub fn signed(word: &[u8]) -> Option<i64> {
    let (digits, sign) = word.strip_prefix(b"-").map_or((word, 1), |digits| (digits, -1));
    number(digits).and_then(|value| i64::try_from(value).ok()).map(|value| sign * value)
}

/// The 10 s average of a pressure file's line (Documentation/accounting/psi.rst).
pub fn pressure(bytes: &[u8], line: &[u8]) -> Option<f64> {
    let average = pressure_word(bytes, line, b"avg10=").and_then(decimal);
    average.filter(|average| *average <= 100.0)
}

/// What stands behind `name` on a pressure file's line.
pub fn pressure_word<'a>(bytes: &'a [u8], line: &[u8], name: &[u8]) -> Option<&'a [u8]> {
    let line = lines(bytes).find(|found| words(found).next() == Some(line))?;
    words(line).find_map(|word| word.strip_prefix(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_digits_within_64_bits() {
        assert_eq!(number(b"18446744073709551615"), Some(u64::MAX));
        for word in [&b"18446744073709551616"[..], b"", b"-1", b"1.0", b"0x1", b"kB"] {
            assert_eq!(number(word), None);
        }
    }

    #[test]
    fn a_number_below_zero_has_one_sign() {
        assert_eq!((signed(b"-1"), signed(b"40")), (Some(-1), Some(40)));
        for word in [&b"--1"[..], b"-", b"+1", b"-9223372036854775809"] {
            assert_eq!(signed(word), None);
        }
    }

    #[test]
    fn a_word_is_found_behind_its_name_on_its_line() {
        let text = b"TCP: inuse 1 tw 2\nUDP: inuse 3\n";
        assert_eq!(word_after(text, b"UDP:", b"inuse"), Some(&b"3"[..]));
        assert_eq!(word_after(text, b"UDP:", b"tw"), None);
        assert_eq!(word_after(b"UDP: inuse", b"UDP:", b"inuse"), None);
    }

    #[test]
    fn a_decimal_is_plain() {
        assert_eq!(decimal(b"0.52"), Some(0.52));
        for word in [&b"nan"[..], b"inf", b"1e3", b"", b"\xff", &[b'9'; 400]] {
            assert_eq!(decimal(word), None);
        }
    }

    #[test]
    fn a_pressure_file_gives_its_ten_second_averages() {
        let file =
            b"some avg10=1.25 avg60=0.50 avg300=0.10 total=1\nfull avg10=0.75 avg60=0 total=0\n";
        assert_eq!(pressure(file, b"some"), Some(1.25));
        assert_eq!(pressure(file, b"full"), Some(0.75));
        assert_eq!(pressure(b"some avg60=1\n", b"full"), None);
        assert_eq!(pressure(b"some avg10=100.01\n", b"some"), None);
    }
}
