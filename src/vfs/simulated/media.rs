//! What lies on the simulated disk: what is kept for sure, what processes see, and what of the
//! difference a loss of power leaves.
//!
//! Holds: the effect of each operation, and the rules of a crash. Must not know: handles, faults, time.

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use super::bytes::{Bytes, Random};

/// What a disk writes whole or not at all.
pub(super) const SECTOR_BYTES: u64 = 512;
const PAGE_BYTES: u64 = 4096;

/// A file, whatever its names.
pub(super) type FileId = u32;

/// One operation that changed something, as it is recorded.
#[derive(Clone)]
pub(super) enum Operation {
    Create {
        path: Rc<str>,
    },
    Write {
        file: FileId,
        offset_bytes: u64,
        bytes: Rc<[u8]>,
    },
    Truncate {
        file: FileId,
        size_bytes: u64,
    },
    Sync {
        file: FileId,
    },
    /// A flush that reported an error: a part of the data reached the disk, the rest is forgotten
    /// although reads still show it, and no later flush brings it.
    LostSync {
        file: FileId,
        seed: u64,
    },
    Delete {
        path: Rc<str>,
    },
    SyncDirectory {
        directory: Rc<str>,
    },
    /// A bit of the media turned over, noticed by nobody.
    FlipBit {
        file: FileId,
        offset_bytes: u64,
        bit: u8,
    },
}

impl fmt::Display for Operation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create { path } => write!(formatter, "create {path:?}"),
            Self::Write {
                file,
                offset_bytes,
                bytes,
            } => write!(
                formatter,
                "write {} bytes at {offset_bytes} of file {file}",
                bytes.len()
            ),
            Self::Truncate { file, size_bytes } => {
                write!(formatter, "cut file {file} to {size_bytes} bytes")
            }
            Self::Sync { file } => write!(formatter, "sync file {file}"),
            Self::LostSync { file, .. } => write!(formatter, "sync file {file}, which fails"),
            Self::Delete { path } => write!(formatter, "delete {path:?}"),
            Self::SyncDirectory { directory } => write!(formatter, "sync directory {directory:?}"),
            Self::FlipBit {
                file, offset_bytes, ..
            } => write!(formatter, "flip a bit at {offset_bytes} of file {file}"),
        }
    }
}

/// The files and names of a disk.
#[derive(Clone, Default)]
pub(super) struct Media {
    names: BTreeMap<Rc<str>, FileId>,
    kept_names: BTreeMap<Rc<str>, FileId>,
    /// Since the directory's last sync, in order.
    name_changes: Vec<(Rc<str>, Option<FileId>)>,
    files: BTreeMap<FileId, File>,
    next_file: FileId,
}

#[derive(Clone, Default)]
struct File {
    /// What reads give.
    seen: Bytes,
    /// What survives for sure.
    kept: Bytes,
    /// What was done since the last sync.
    unsynced: Vec<Change>,
    /// A failed flush made `kept` differ from `seen` in more than `unsynced`.
    diverged: bool,
}

#[derive(Clone)]
enum Change {
    Write { offset_bytes: u64, bytes: Rc<[u8]> },
    Truncate { size_bytes: u64 },
}

impl Media {
    pub fn file(&self, path: &str) -> Option<FileId> {
        self.names.get(path).copied()
    }

    pub fn seen(&self, file: FileId) -> &Bytes {
        &self.files[&file].seen
    }

    /// Bytes of all files that have a name.
    pub fn size_bytes(&self) -> u64 {
        self.names
            .values()
            .map(|file| self.seen(*file).size_bytes())
            .sum()
    }

    pub fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Create { path } => {
                let file = self.next_file;
                self.next_file += 1;
                self.files.insert(file, File::default());
                self.names.insert(Rc::clone(path), file);
                self.name_changes.push((Rc::clone(path), Some(file)));
            }
            Operation::Write {
                file,
                offset_bytes,
                bytes,
            } => self.change(
                *file,
                Change::Write {
                    offset_bytes: *offset_bytes,
                    bytes: Rc::clone(bytes),
                },
            ),
            Operation::Truncate { file, size_bytes } => self.change(
                *file,
                Change::Truncate {
                    size_bytes: *size_bytes,
                },
            ),
            Operation::Sync { file } => self.file_mut(*file).sync(),
            Operation::LostSync { file, seed } => {
                let mut random = Random::new(*seed);
                let file = self.file_mut(*file);
                let size_bytes = file.seen.size_bytes();
                file.kept = file.survivors(&mut random);
                file.kept.truncate(size_bytes);
                file.kept.extend(size_bytes);
                file.unsynced.clear();
                file.diverged = true;
            }
            Operation::Delete { path } => {
                self.names.remove(path);
                self.name_changes.push((Rc::clone(path), None));
            }
            Operation::SyncDirectory { directory } => {
                let kept_names = &mut self.kept_names;
                self.name_changes.retain(|(path, file)| {
                    let is_inside = directory_of(path) == &**directory;
                    match file {
                        _ if !is_inside => {}
                        Some(file) => {
                            kept_names.insert(Rc::clone(path), *file);
                        }
                        None => {
                            kept_names.remove(path);
                        }
                    }
                    !is_inside
                });
            }
            Operation::FlipBit {
                file,
                offset_bytes,
                bit,
            } => {
                let file = self.file_mut(*file);
                for bytes in [&mut file.seen, &mut file.kept] {
                    let mut byte = [0];
                    if bytes.read_at(&mut byte, *offset_bytes) == 1 {
                        bytes.write_at(&[byte[0] ^ (1 << bit)], *offset_bytes);
                    }
                }
            }
        }
    }

    /// What is left when the power goes now: what was synced, and a random part of the rest.
    pub fn after_power_loss(&self, random: &mut Random) -> Self {
        let mut names = self.kept_names.clone();
        for (path, file) in &self.name_changes {
            // Each change of a name may be lost, whatever became of the one before.
            if random.percent(50) {
                match file {
                    Some(file) => names.insert(Rc::clone(path), *file),
                    None => names.remove(path),
                };
            }
        }
        let mut files = BTreeMap::new();
        for file in names.values() {
            let bytes = self.files[file].survivors(random);
            let survived = File {
                seen: bytes.clone(),
                kept: bytes,
                ..File::default()
            };
            files.insert(*file, survived);
        }
        Self {
            kept_names: names.clone(),
            names,
            name_changes: Vec::new(),
            files,
            next_file: self.next_file,
        }
    }

    fn change(&mut self, file: FileId, change: Change) {
        let file = self.file_mut(file);
        change.apply(&mut file.seen);
        file.unsynced.push(change);
    }

    fn file_mut(&mut self, file: FileId) -> &mut File {
        self.files
            .get_mut(&file)
            .expect("an operation is about a file that was created")
    }
}

impl Change {
    fn apply(&self, bytes: &mut Bytes) {
        match self {
            Self::Write {
                offset_bytes,
                bytes: written,
            } => bytes.write_at(written, *offset_bytes),
            Self::Truncate { size_bytes } => bytes.truncate(*size_bytes),
        }
    }
}

/// What is lost or kept as one.
#[derive(Clone, Copy)]
enum Grain {
    Sector,
    Page,
    Change,
}

impl File {
    fn sync(&mut self) {
        if self.diverged {
            for change in self.unsynced.drain(..) {
                change.apply(&mut self.kept);
            }
        } else {
            self.unsynced.clear();
            self.kept = self.seen.clone();
        }
    }

    /// The synced bytes with a random part of what came after: each sector as it was synced or as one
    /// of the later changes left it, in no order; a size that the file had; where the file grew over
    /// a sector that was not written yet, zeros or garbage.
    fn survivors(&self, random: &mut Random) -> Bytes {
        if self.unsynced.is_empty() {
            return self.kept.clone();
        }
        let chance = [0, 10, 50, 50, 90, 100][random.below(6)];
        let grain = [Grain::Sector, Grain::Sector, Grain::Page, Grain::Change][random.below(4)];
        // A disk that writes the newest first: what all else is there to prevent.
        let newest_first = random.percent(15);
        let last = self.unsynced.len() - 1;

        let mut now = self.kept.clone();
        let mut left = self.kept.clone();
        let mut size_bytes = self.kept.size_bytes();
        let mut grown: BTreeMap<u64, bool> = BTreeMap::new();
        for (number, change) in self.unsynced.iter().enumerate() {
            change.apply(&mut now);
            let chance = match (newest_first, number == last) {
                (false, _) => chance,
                (true, false) => 0,
                (true, true) => 100,
            };
            let whole = random.percent(chance);
            match change {
                Change::Truncate { size_bytes: cut_to } => {
                    if whole {
                        left.truncate(*cut_to);
                        size_bytes = *cut_to;
                        grown.retain(|sector, _| sector * SECTOR_BYTES < *cut_to);
                    }
                }
                Change::Write {
                    offset_bytes,
                    bytes,
                } => {
                    let end = offset_bytes + bytes.len() as u64;
                    let mut page = (u64::MAX, false);
                    for sector in offset_bytes / SECTOR_BYTES..end.div_ceil(SECTOR_BYTES) {
                        let start = sector * SECTOR_BYTES;
                        let survives = match grain {
                            Grain::Change => whole,
                            Grain::Sector => random.percent(chance),
                            Grain::Page => {
                                if page.0 != start / PAGE_BYTES {
                                    page = (start / PAGE_BYTES, random.percent(chance));
                                }
                                page.1
                            }
                        };
                        if survives {
                            let mut sector_now = [0; SECTOR_BYTES as usize];
                            let length = now.read_at(&mut sector_now, start);
                            left.write_at(&sector_now[..length], start);
                        }
                        if start >= self.kept.size_bytes() {
                            *grown.entry(sector).or_default() |= survives;
                        }
                    }
                    if end > size_bytes && random.percent(chance) {
                        size_bytes = end;
                    }
                }
            }
        }
        // A sector that was written beyond the recorded end is of no use without the end.
        if left.size_bytes() > size_bytes && random.percent(50) {
            left.truncate(size_bytes);
        }
        left.extend(size_bytes);
        let garbage = random.percent(50);
        for (sector, survived) in grown {
            let start = sector * SECTOR_BYTES;
            if garbage && !survived && start < left.size_bytes() {
                let mut bytes = [0; SECTOR_BYTES as usize];
                random.fill(&mut bytes);
                let length = SECTOR_BYTES.min(left.size_bytes() - start) as usize;
                left.write_at(&bytes[..length], start);
            }
        }
        left
    }
}

/// The path of a file's directory, with its separator; empty where there is none.
pub(super) fn directory_of(path: &str) -> &str {
    &path[..path.rfind('/').map_or(0, |at| at + 1)]
}
