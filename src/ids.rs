//! New ids: UUIDv7, which sort by the time they were made in, so that index entries of new rows
//! go to the end of their index.

use std::cell::Cell;

use uuid::Builder;

/// Makes ids that never decrease within one maker, also within one millisecond.
#[derive(Debug, Default)]
pub struct IdMaker {
    last: Cell<(u64, u32)>,
}

impl IdMaker {
    /// A new id at the given time. `random` fills a buffer with random bytes.
    pub fn make(&self, now_ms: i64, random: impl Fn(&mut [u8])) -> String {
        let mut bytes = [0u8; 10];
        random(&mut bytes);
        let now = u64::try_from(now_ms).unwrap_or(0);
        let (last_ms, last_counter) = self.last.get();
        // The first 30 random bits count up within a millisecond, from a start below 2^28: there is
        // room for 2^29 ids, far more than a millisecond can make.
        let (ms, counter) = if now > last_ms {
            (
                now,
                u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) >> 4,
            )
        } else {
            (last_ms, last_counter + 1)
        };
        self.last.set((ms, counter));
        // The builder overwrites four bits of byte 0 (version) and two of byte 2 (variant).
        bytes[0] = (counter >> 26) as u8 & 0x0f;
        bytes[1] = (counter >> 18) as u8;
        bytes[2] = (counter >> 12) as u8 & 0x3f;
        bytes[3] = (counter >> 4) as u8;
        bytes[4] = (counter << 4) as u8 | (bytes[4] & 0x0f);
        Builder::from_unix_timestamp_millis(ms, &bytes)
            .into_uuid()
            .to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_one_millisecond_are_distinct_and_sorted() {
        let maker = IdMaker::default();
        let ids: Vec<String> = (0..10_000)
            .map(|_| maker.make(1_700_000_000_000, |bytes| bytes.fill(0xff)))
            .collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(&ids[0][14..15], "7");
    }

    #[test]
    fn a_clock_that_goes_back_does_not_bring_ids_back() {
        let maker = IdMaker::default();
        let first = maker.make(1_700_000_000_001, |bytes| bytes.fill(7));
        let second = maker.make(1_600_000_000_000, |bytes| bytes.fill(7));
        assert!(first < second);
    }
}
