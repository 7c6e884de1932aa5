//! Whether text that comes in pieces can still be UTF-8.
//!
//! What is UTF-8 the standard library knows; [`Utf8`] keeps the code point that is not whole at a
//! piece's end.

use std::str;

use super::Refused;

/// Bytes that are unmasked at a time, on the stack: a multiple of the mask's length. Four times as
/// many are no faster.
const PIECE_BYTES: usize = 256;

/// Bytes of a code point that is not whole.
const BEGUN_BYTES_MAX: usize = 3;

/// A text up to here.
#[derive(Debug, Default)]
pub struct Utf8 {
    begun: [u8; BEGUN_BYTES_MAX],
    length: u8,
}

impl Utf8 {
    /// Takes in the next bytes, the first of them masked with the first byte of `mask`.
    pub fn take(&mut self, masked: &[u8], mask: [u8; 4]) -> Result<(), Refused> {
        let mut text = [0; BEGUN_BYTES_MAX + PIECE_BYTES];
        for masked in masked.chunks(PIECE_BYTES) {
            let begun = usize::from(self.length);
            let end = begun + masked.len();
            text[..begun].copy_from_slice(&self.begun[..begun]);
            unmask(&mut text[begun..end], masked, mask);
            let valid = match str::from_utf8(&text[..end]) {
                Ok(_) => end,
                Err(error) if error.error_len().is_some() => return Err(Refused::NotUtf8),
                Err(error) => error.valid_up_to(),
            };
            let begun = &text[valid..end];
            self.begun[..begun.len()].copy_from_slice(begun);
            self.length = begun.len() as u8;
        }
        Ok(())
    }
}

/// Writes `masked` without its mask into `text`, which has the same length.
pub fn unmask(text: &mut [u8], masked: &[u8], mask: [u8; 4]) {
    let (text_words, text_rest) = text.as_chunks_mut();
    let (words, rest) = masked.as_chunks();
    for (text, word) in text_words.iter_mut().zip(words) {
        *text = (u32::from_ne_bytes(*word) ^ u32::from_ne_bytes(mask)).to_ne_bytes();
    }
    for ((text, byte), mask) in text_rest.iter_mut().zip(rest).zip(mask) {
        *text = byte ^ mask;
    }
}
