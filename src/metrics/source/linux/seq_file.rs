//! For tests: how the kernel makes most files of /proc (fs/seq_file.c, seq_read_iter).

/// The least that a page has.
const PAGE_BYTES: usize = 4096;

/// The kernel's seq_file, as far as a reader can tell: it collects records until the next does
/// not fit into its buffer or as much is there as was asked for. What was not taken comes
/// first the next time, and more is collected behind it.
pub struct SeqFile {
    pub records: Vec<Vec<u8>>,
    next: usize,
    buffer_bytes: usize,
    left: Vec<u8>,
    pub reads: usize,
}

impl SeqFile {
    pub fn new(records: Vec<Vec<u8>>) -> SeqFile {
        SeqFile { records, next: 0, buffer_bytes: PAGE_BYTES, left: Vec::new(), reads: 0 }
    }

    pub fn read(&mut self, into: &mut [u8]) -> usize {
        self.reads += 1;
        let mut given = self.left.len().min(into.len());
        into[..given].copy_from_slice(&self.left[..given]);
        self.left.drain(..given);
        if !self.left.is_empty() || given == into.len() {
            return given;
        }
        while let Some(record) = self.records.get(self.next) {
            if self.left.is_empty() {
                // A record that does not fit alone makes the buffer grow, for good.
                while record.len() >= self.buffer_bytes {
                    self.buffer_bytes *= 2;
                }
            }
            let is_enough = self.left.len() >= into.len() - given;
            if is_enough || self.left.len() + record.len() >= self.buffer_bytes {
                break;
            }
            self.left.extend_from_slice(record);
            self.next += 1;
        }
        let more = self.left.len().min(into.len() - given);
        into[given..given + more].copy_from_slice(&self.left[..more]);
        self.left.drain(..more);
        given += more;
        given
    }
}
