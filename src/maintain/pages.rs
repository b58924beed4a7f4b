//! The form of the pages in a SQLite file: b-tree nodes, cells, records, pointer map.
//!
//! For reading files that may be damaged in any way: every position is checked, nothing panics, and
//! what does not add up is `None`. Knows bytes only; no SQLite, no tables of ours.
//!
//! The format: <https://www.sqlite.org/fileformat2.html>

use rusqlite::types::ValueRef;

/// Length of the file's header, which page 1 begins with.
pub(super) const HEADER_BYTES: usize = 100;
/// SQLite never uses the page that holds this byte of the file.
const LOCK_BYTE: u64 = 1 << 30;

/// A whole number of 1 to 9 bytes, big end first, and how many bytes it took.
pub(super) fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0_u64;
    for (at, byte) in bytes.iter().take(9).enumerate() {
        if at == 8 {
            return Some(((value << 8) | u64::from(*byte), 9));
        }
        value = (value << 7) | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((value, at + 1));
        }
    }
    None
}

pub(super) fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

fn half_word(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(2)?)?;
    Some(usize::from(u16::from_be_bytes(bytes.try_into().ok()?)))
}

/// What the pages of one file have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Form {
    pub page_size_bytes: usize,
    /// What is left of a page without its reserved end.
    pub usable_bytes: usize,
    pub pages: u32,
    pub has_pointer_map: bool,
}

impl Form {
    /// Page size and usable bytes as a header states them, where it can be one.
    pub fn sizes(header: &[u8]) -> Option<(usize, usize)> {
        if !header.starts_with(b"SQLite format 3\0") {
            return None;
        }
        let page_size_bytes = match half_word(header, 16)? {
            1 => 65_536,
            size if size >= 512 && size.is_power_of_two() => size,
            _ => return None,
        };
        let usable_bytes = page_size_bytes.checked_sub(usize::from(*header.get(20)?))?;
        (usable_bytes >= 480).then_some((page_size_bytes, usable_bytes))
    }

    /// Whether this is a page that holds no content of its own kind: the pointer map's, or the one
    /// that SQLite leaves out.
    pub fn is_map_or_lock(&self, page: u32) -> bool {
        page == self.lock_page() || (self.has_pointer_map && self.map_page(page) == page)
    }

    fn lock_page(&self) -> u32 {
        let page = LOCK_BYTE / self.page_size_bytes as u64 + 1;
        u32::try_from(page).unwrap_or(u32::MAX)
    }

    /// The page of the pointer map that speaks of a page; itself, where it is one.
    pub fn map_page(&self, page: u32) -> u32 {
        if page < 2 {
            return 0;
        }
        let group = (self.usable_bytes / 5) as u32 + 1;
        let map = (page - 2) / group * group + 2;
        if map == self.lock_page() {
            map + 1
        } else {
            map
        }
    }

    /// What the pointer map says of a page, given the map's page.
    pub fn map_entry(&self, map: &[u8], page: u32) -> Option<Use> {
        let index = page.checked_sub(self.map_page(page))?.checked_sub(1)? as usize;
        let kind = map.get(index * 5..index * 5 + 5)?[0];
        match kind {
            1 => Some(Use::Root),
            2 => Some(Use::Free),
            3 | 4 => Some(Use::Overflow),
            5 => Some(Use::Node),
            _ => None,
        }
    }

    fn local_bytes(&self, kind: Kind, payload_bytes: u64) -> Option<usize> {
        let usable = self.usable_bytes;
        let most = match kind {
            Kind::TableLeaf => usable - 35,
            _ => (usable - 12) * 64 / 255 - 23,
        };
        let payload = usize::try_from(payload_bytes).ok()?;
        if payload <= most {
            return Some(payload);
        }
        let least = (usable - 12) * 32 / 255 - 23;
        let local = least + (payload - least) % (usable - 4);
        Some(if local <= most { local } else { least })
    }
}

/// What a page is used for, as the pointer map has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    Root,
    Free,
    Overflow,
    Node,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    TableInterior,
    TableLeaf,
    IndexInterior,
    IndexLeaf,
}

impl Kind {
    pub fn is_table(self) -> bool {
        matches!(self, Self::TableInterior | Self::TableLeaf)
    }

    fn is_interior(self) -> bool {
        matches!(self, Self::TableInterior | Self::IndexInterior)
    }
}

/// A page of a b-tree.
pub(super) struct Node<'p> {
    pub kind: Kind,
    pub cells: usize,
    page: &'p [u8],
    /// Where the pointers to the cells begin.
    pointers: usize,
    header: usize,
    form: Form,
}

impl<'p> Node<'p> {
    /// The page as a node, where its header can be one.
    pub fn parse(form: Form, number: u32, page: &'p [u8]) -> Option<Self> {
        let page = page.get(..form.usable_bytes)?;
        let header = if number == 1 { HEADER_BYTES } else { 0 };
        let kind = match page.get(header)? {
            2 => Kind::IndexInterior,
            5 => Kind::TableInterior,
            10 => Kind::IndexLeaf,
            13 => Kind::TableLeaf,
            _ => return None,
        };
        let cells = half_word(page, header + 3)?;
        let pointers = header + if kind.is_interior() { 12 } else { 8 };
        (pointers + cells * 2 <= page.len()).then_some(Self {
            kind,
            cells,
            page,
            pointers,
            header,
            form,
        })
    }

    /// The child after the last cell; none in a leaf.
    pub fn last_child(&self) -> Option<u32> {
        self.kind
            .is_interior()
            .then(|| word(self.page, self.header + 8))?
    }

    /// One cell, where it lies within the page.
    pub fn cell(&self, index: usize) -> Option<Cell<'p>> {
        if index >= self.cells {
            return None;
        }
        let start = half_word(self.page, self.pointers + index * 2)?;
        if start < self.pointers + self.cells * 2 {
            return None;
        }
        let mut rest = self.page.get(start..)?;
        let mut cell = Cell {
            child: None,
            row: None,
            payload: None,
        };
        if self.kind.is_interior() {
            cell.child = Some(word(rest, 0)?);
            rest = rest.get(4..)?;
        }
        let mut payload_bytes = None;
        if self.kind != Kind::TableInterior {
            let (bytes, length) = varint(rest)?;
            payload_bytes = Some(bytes);
            rest = rest.get(length..)?;
        }
        if self.kind.is_table() {
            let (row, length) = varint(rest)?;
            cell.row = Some(row.cast_signed());
            rest = rest.get(length..)?;
        }
        if let Some(total_bytes) = payload_bytes {
            let local_bytes = self.form.local_bytes(self.kind, total_bytes)?;
            let local = rest.get(..local_bytes)?;
            let overflow = if total_bytes > local_bytes as u64 {
                Some(word(rest, local_bytes)?)
            } else {
                None
            };
            cell.payload = Some(Payload {
                total_bytes,
                local,
                overflow,
            });
        }
        Some(cell)
    }
}

pub(super) struct Cell<'p> {
    pub child: Option<u32>,
    pub row: Option<i64>,
    pub payload: Option<Payload<'p>>,
}

/// A record, or the beginning of one that goes on in a chain of overflow pages.
pub(super) struct Payload<'p> {
    pub total_bytes: u64,
    pub local: &'p [u8],
    pub overflow: Option<u32>,
}

impl Payload<'_> {
    /// How many pages the chain must have.
    pub fn overflow_pages(&self, form: Form) -> u64 {
        let rest = self.total_bytes - self.local.len() as u64;
        rest.div_ceil(form.usable_bytes as u64 - 4)
    }
}

/// The values of a record. Texts are bytes as they lie there, which need not be UTF-8.
pub(super) fn record(bytes: &[u8]) -> Option<Vec<ValueRef<'_>>> {
    let (header_bytes, mut at) = varint(bytes)?;
    let header = bytes.get(..usize::try_from(header_bytes).ok()?)?;
    let mut body = bytes.get(header.len()..)?;
    let mut values = Vec::new();
    while at < header.len() {
        let (kind, length) = varint(header.get(at..)?)?;
        at += length;
        let size_bytes = match kind {
            0 | 8 | 9 => 0,
            1..=4 => kind as usize,
            5 => 6,
            6 | 7 => 8,
            10 | 11 => return None,
            _ => usize::try_from((kind - 12) / 2).ok()?,
        };
        let value = body.get(..size_bytes)?;
        body = body.get(size_bytes..)?;
        values.push(match kind {
            0 => ValueRef::Null,
            1..=6 => ValueRef::Integer(integer(value)),
            7 => ValueRef::Real(f64::from_bits(integer(value).cast_unsigned())),
            8 => ValueRef::Integer(0),
            9 => ValueRef::Integer(1),
            even if even % 2 == 0 => ValueRef::Blob(value),
            _ => ValueRef::Text(value),
        });
    }
    Some(values)
}

/// A signed number of up to 8 bytes, big end first.
fn integer(bytes: &[u8]) -> i64 {
    let negative = bytes.first().is_some_and(|first| first & 0x80 != 0);
    bytes
        .iter()
        .fold(if negative { -1 } else { 0 }, |number, byte| {
            (number << 8) | i64::from(*byte)
        })
}

/// One bit a page.
pub(super) struct PageSet {
    bits: Vec<u64>,
}

impl PageSet {
    pub fn new(pages: u32) -> Self {
        Self {
            bits: vec![0; pages as usize / 64 + 1],
        }
    }

    /// Adds a page; false where it was in already, or is beyond the file.
    pub fn add(&mut self, page: u32) -> bool {
        let bit = 1 << (page % 64);
        match self.bits.get_mut(page as usize / 64) {
            Some(bits) if *bits & bit == 0 => {
                *bits |= bit;
                true
            }
            _ => false,
        }
    }

    pub fn has(&self, page: u32) -> bool {
        self.bits
            .get(page as usize / 64)
            .is_some_and(|bits| bits & (1 << (page % 64)) != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_length_are_read() {
        for (bytes, expected) in [
            (&[0x7f][..], Some((0x7f, 1))),
            (&[0x81, 0x00], Some((0x80, 2))),
            (&[0xff; 9], Some((u64::MAX, 9))),
            (&[0x81], None),
            (&[], None),
        ] {
            assert_eq!(varint(bytes), expected, "{bytes:?}");
        }
        assert_eq!(integer(&[0xff, 0xfe]), -2);
        assert_eq!(
            integer(&[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
            i64::MAX
        );
        assert_eq!(integer(&[]), 0);
    }

    #[test]
    fn a_record_that_sqlite_wrote_gives_its_values_back() {
        // (NULL, -2, 'hé', x'00ff', 1.5, 1)
        let bytes = [
            7, 0, 1, 19, 16, 7, 9, 0xfe, b'h', 0xc3, 0xa9, 0, 0xff, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0,
        ];
        let values = record(&bytes).unwrap();
        assert_eq!(
            values,
            [
                ValueRef::Null,
                ValueRef::Integer(-2),
                ValueRef::Text("hé".as_bytes()),
                ValueRef::Blob(&[0, 255]),
                ValueRef::Real(1.5),
                ValueRef::Integer(1)
            ]
        );
        for end in 0..bytes.len() {
            assert_eq!(record(&bytes[..end]), None, "cut at {end}");
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic() {
        let mut seed = 7_u64;
        let mut next = move || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 56) as u8
        };
        let form = Form {
            page_size_bytes: 512,
            usable_bytes: 504,
            pages: 9,
            has_pointer_map: true,
        };
        let mut parsed = 0;
        for round in 0..4_000 {
            let mut page: Vec<u8> = (0..512).map(|_| next()).collect();
            page[0] = [2, 5, 10, 13][round % 4];
            page[3] = 0;
            let Some(node) = Node::parse(form, 2, &page) else {
                continue;
            };
            parsed += 1;
            let _ = node.last_child();
            for cell in (0..node.cells).filter_map(|index| node.cell(index)) {
                if let Some(payload) = cell.payload {
                    let _ = (payload.overflow_pages(form), record(payload.local));
                }
            }
            let _ = form.map_entry(&page, u32::from(page[9]));
        }
        assert!(parsed > 1_000, "only {parsed} pages were read");
    }
}
