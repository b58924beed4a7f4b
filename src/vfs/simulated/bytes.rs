//! The bytes of one simulated file, and the seeded randomness of a simulated machine.

use std::rc::Rc;

const PIECE_BYTES: usize = 4096;

/// The bytes of a file, in pieces that copies share until one of them writes: a copy costs as much as
/// the file has pieces, whatever it holds.
#[derive(Clone, Default)]
pub(super) struct Bytes {
    pieces: Vec<Rc<[u8; PIECE_BYTES]>>,
    size_bytes: u64,
}

impl Bytes {
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Fills `buffer` as far as the file goes and gives the count.
    pub fn read_at(&self, buffer: &mut [u8], offset_bytes: u64) -> usize {
        let end = offset_bytes
            .saturating_add(buffer.len() as u64)
            .min(self.size_bytes);
        let mut at = offset_bytes;
        let mut done = 0;
        while at < end {
            let (piece, within) = place(at);
            let length = (PIECE_BYTES - within).min((end - at) as usize);
            buffer[done..done + length]
                .copy_from_slice(&self.pieces[piece][within..within + length]);
            done += length;
            at += length as u64;
        }
        done
    }

    /// Writes all of `bytes`; a gap before them reads as zeros.
    pub fn write_at(&mut self, bytes: &[u8], offset_bytes: u64) {
        self.extend(offset_bytes + bytes.len() as u64);
        let mut at = offset_bytes;
        let mut left = bytes;
        while !left.is_empty() {
            let (piece, within) = place(at);
            let length = (PIECE_BYTES - within).min(left.len());
            Rc::make_mut(&mut self.pieces[piece])[within..within + length]
                .copy_from_slice(&left[..length]);
            left = &left[length..];
            at += length as u64;
        }
    }

    /// Cuts the file where it is longer.
    pub fn truncate(&mut self, size_bytes: u64) {
        if size_bytes >= self.size_bytes {
            return;
        }
        self.size_bytes = size_bytes;
        self.pieces
            .truncate(size_bytes.div_ceil(PIECE_BYTES as u64) as usize);
        let (piece, within) = place(size_bytes);
        if within > 0 {
            // What lies behind the end must read as zeros if the file grows again.
            Rc::make_mut(&mut self.pieces[piece])[within..].fill(0);
        }
    }

    /// Fills the file with zeros up to a size where it is shorter.
    pub fn extend(&mut self, size_bytes: u64) {
        self.size_bytes = self.size_bytes.max(size_bytes);
        let pieces = self.size_bytes.div_ceil(PIECE_BYTES as u64) as usize;
        if self.pieces.len() < pieces {
            // One piece for a whole gap, however far the file reaches.
            self.pieces.resize(pieces, Rc::new([0; PIECE_BYTES]));
        }
    }
}

fn place(offset_bytes: u64) -> (usize, usize) {
    (
        (offset_bytes / PIECE_BYTES as u64) as usize,
        (offset_bytes % PIECE_BYTES as u64) as usize,
    )
}

/// splitmix64: small, seeded, the same everywhere, and good from the first number on.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    pub fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    pub fn fill(&mut self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            let bytes = self.next().to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_keeps_its_bytes_and_a_cut_file_grows_with_zeros() {
        let mut file = Bytes::default();
        file.write_at(&[7; 5000], 4000);
        let copy = file.clone();
        file.truncate(4500);
        file.extend(9000);
        let mut seen = [1; 6000];
        assert_eq!(file.read_at(&mut seen, 3500), 5500);
        assert_eq!(&seen[..500], &[0; 500]);
        assert_eq!(&seen[500..1000], &[7; 500]);
        assert_eq!(&seen[1000..5500], &[0; 4500]);
        assert_eq!(copy.read_at(&mut seen, 8999), 1);
        assert_eq!((seen[0], copy.size_bytes()), (7, 9000));
    }
}
