//! Checks of files and names: bytes, sizes, opening, deleting, limits.

use std::rc::Rc;

use rsqlite_vfs::{
    FileKind, OpenAccess, OpenOptions, SyncMode, SyncOptions, VfsAppData, VfsError, VfsErrorCode,
    VfsFile, VfsResult, test_suite,
};
use rusqlite::OpenFlags;

use super::{Failure, Instance, Outcome, Place, Store, ensure};
use crate::vfs::storage::{OpenMode, RawFile, Storage};

const READ_WRITE: OpenOptions = OpenOptions::new(OpenAccess::ReadWrite, FileKind::MainDb);
const READ_ONLY: OpenOptions = OpenOptions::new(OpenAccess::ReadOnly, FileKind::MainDb);
const CREATE: OpenOptions = READ_WRITE.with_create();

/// The file suite that `rsqlite_vfs` ships for backends.
pub fn the_suite_of_rsqlite_vfs_passes(place: &Place) -> Outcome {
    let storage = Prefixed {
        inner: Rc::clone(&place.storage),
        prefix: place.path(""),
    };
    let instance = Instance::new(storage, place.options);
    test_suite::test_vfs_store::<Store>(VfsAppData::new(Rc::new(instance)))?;
    Ok(())
}

/// Reading across the end and beyond it.
pub fn a_read_past_the_end_gives_the_bytes_there_are(place: &Place) -> Outcome {
    let files = place.files();
    let mut file = files.open("file", CREATE)?;
    let mut buffer = [9; 8];
    ensure!(file.read(&mut buffer, 0)? == 0, "a new file has bytes");
    file.write(b"abcde", 0)?;
    ensure!(file.read(&mut buffer, 2)? == 3, "wrong count at the end");
    ensure!(&buffer[..3] == b"cde", "wrong bytes at the end");
    ensure!(file.read(&mut buffer, 5)? == 0, "bytes at the end");
    ensure!(
        file.read(&mut buffer, 6_000_000)? == 0,
        "bytes beyond the end"
    );
    ensure!(file.size()? == 5, "size {}", file.size()?);
    Ok(())
}

/// A write beyond the end fills what lies between with zeros.
pub fn a_gap_reads_as_zeros(place: &Place) -> Outcome {
    let files = place.files();
    let mut file = files.open("file", CREATE)?;
    file.write(&[1; 10], 0)?;
    file.write(&[2; 10], 200_000)?;
    ensure!(file.size()? == 200_010, "size {}", file.size()?);
    let mut bytes = vec![9; 200_010];
    ensure!(file.read(&mut bytes, 0)? == bytes.len(), "short read");
    ensure!(bytes[..10] == [1; 10], "first bytes changed");
    ensure!(
        bytes[10..200_000].iter().all(|&byte| byte == 0),
        "the gap is not zeros"
    );
    ensure!(bytes[200_000..] == [2; 10], "last bytes are wrong");
    Ok(())
}

/// What was truncated away is zeros when the file grows again.
pub fn bytes_cut_off_do_not_come_back(place: &Place) -> Outcome {
    let files = place.files();
    let mut file = files.open("file", CREATE)?;
    file.write(&[7; 100_000], 0)?;
    file.truncate(33)?;
    ensure!(
        file.size()? == 33,
        "size {} after truncating to 33",
        file.size()?
    );
    let mut buffer = [9; 40];
    ensure!(file.read(&mut buffer, 0)? == 33, "bytes beyond the cut");
    file.write(&[8], 99_999)?;
    let mut bytes = vec![9; 100_000];
    ensure!(file.read(&mut bytes, 0)? == bytes.len(), "short read");
    ensure!(bytes[..33] == [7; 33], "bytes before the cut changed");
    ensure!(
        bytes[33..99_999].iter().all(|&byte| byte == 0),
        "old bytes came back"
    );
    file.truncate(0)?;
    ensure!(
        file.size()? == 0,
        "size {} after truncating to 0",
        file.size()?
    );
    Ok(())
}

/// Truncating only shrinks, on every storage alike.
pub fn truncating_does_not_make_a_file_longer(place: &Place) -> Outcome {
    let files = place.files();
    let mut file = files.open("file", CREATE)?;
    file.write(&[7; 10], 0)?;
    ensure_code(file.truncate(11), VfsErrorCode::IoTruncate)?;
    file.truncate(10)?;
    ensure!(file.size()? == 10, "size {}", file.size()?);
    Ok(())
}

/// Names with spaces, signs, other scripts, and long ones.
pub fn files_of_unusual_names_lie_apart(place: &Place) -> Outcome {
    let long = "n".repeat(200);
    let names = [
        "plain",
        "PLAIN2",
        "with space",
        "per%20cent",
        "a?b=c#d",
        "q'uo\"te",
        "ünïcödé",
        "会話-😀",
        ".hidden",
        "file:name",
        "-journal",
        &long,
    ];
    let files = place.files();
    for (number, name) in (0u8..).zip(names) {
        ensure!(!files.exists(name)?, "{name:?} exists before it is made");
        files.open(name, CREATE)?.write(&[number; 3], 0)?;
    }
    for (number, name) in (0u8..).zip(names) {
        ensure!(files.exists(name)?, "{name:?} is gone");
        let mut bytes = [99; 4];
        let count = files.open(name, READ_WRITE)?.read(&mut bytes, 0)?;
        ensure!(
            count == 3 && bytes[..3] == [number; 3],
            "{name:?} has another's bytes"
        );
        files.delete(name)?;
        ensure!(!files.exists(name)?, "{name:?} exists after its deletion");
    }
    Ok(())
}

/// A second handle sees the first one's writes at once, and outlives it.
pub fn handles_of_one_path_share_one_file(place: &Place) -> Outcome {
    let files = place.files();
    let mut first = files.open("file", CREATE)?;
    let mut second = files.open("file", READ_WRITE)?;
    first.write(b"one", 0)?;
    let mut buffer = [0; 3];
    ensure!(
        second.read(&mut buffer, 0)? == 3 && &buffer == b"one",
        "the write is not seen"
    );
    drop(first);
    second.write(b"two", 0)?;
    ensure!(
        second.read(&mut buffer, 0)? == 3 && &buffer == b"two",
        "the file went with its first handle"
    );
    let opened = place.recording.take();
    let opens = opened
        .iter()
        .filter(|event| event.action == super::recording::Action::Open);
    ensure!(
        opens.count() == 1,
        "the storage was asked to open the file again"
    );
    Ok(())
}

/// Deleting a name leaves the open file readable; the name starts anew.
pub fn a_deleted_file_stays_with_its_handle_and_its_name_is_free(place: &Place) -> Outcome {
    let files = place.files();
    let mut old = files.open("file", CREATE)?;
    old.write(b"old", 0)?;
    files.delete("file")?;
    ensure!(!files.exists("file")?, "the name is still there");
    ensure_code(
        files.open("file", READ_WRITE).map(drop),
        VfsErrorCode::CantOpen,
    )?;
    let mut new = files.open("file", CREATE)?;
    ensure!(new.size()? == 0, "the new file has old bytes");
    new.write(b"fresh", 0)?;
    let mut buffer = [0; 8];
    ensure!(
        old.read(&mut buffer, 0)? == 3 && &buffer[..3] == b"old",
        "the old file changed"
    );
    drop(old);
    let mut again = files.open("file", READ_WRITE)?;
    ensure!(
        again.read(&mut buffer, 0)? == 5 && &buffer[..5] == b"fresh",
        "the new file is gone"
    );
    Ok(())
}

/// Delete on close is about the file that was opened, not about its name.
pub fn delete_on_close_removes_the_file_and_not_its_successor(place: &Place) -> Outcome {
    let temporary =
        OpenOptions::new(OpenAccess::ReadWrite, FileKind::TempDb).with_delete_on_close();
    let files = place.files();
    files.open("temporary", temporary)?.write(b"x", 0)?;
    ensure!(!files.exists("temporary")?, "the file outlived its handle");

    let replaced = files.open("temporary", temporary)?;
    files.delete("temporary")?;
    files.open("temporary", CREATE)?.write(b"successor", 0)?;
    drop(replaced);
    ensure!(files.exists("temporary")?, "the successor was deleted");
    Ok(())
}

/// Writing through a read-only handle fails, beside a handle that writes too.
pub fn a_read_only_handle_changes_nothing(place: &Place) -> Outcome {
    let files = place.files();
    let mut writer = files.open("file", CREATE)?;
    writer.write(b"kept", 0)?;
    let mut reader = files.open("file", READ_ONLY)?;
    ensure_code(reader.write(b"lost", 0), VfsErrorCode::ReadOnly)?;
    ensure_code(reader.truncate(0), VfsErrorCode::ReadOnly)?;
    writer.write(b"!", 4)?;
    drop(writer);
    let mut buffer = [0; 8];
    ensure!(
        reader.read(&mut buffer, 0)? == 5 && &buffer[..5] == b"kept!",
        "wrong bytes"
    );
    ensure_code(reader.write(b"lost", 0), VfsErrorCode::ReadOnly)?;
    Ok(())
}

/// The storage itself refuses too, where it was asked for reading only.
pub fn a_raw_file_for_reading_changes_nothing(place: &Place) -> Outcome {
    let path = place.path("file");
    place.files().open("file", CREATE)?.write(b"kept", 0)?;
    let mode = OpenMode {
        read_only: true,
        ..OpenMode::default()
    };
    let mut raw = place.storage.open(&path, mode)?;
    ensure!(raw.write_at(b"lost", 0).is_err(), "a write was taken");
    ensure!(raw.truncate(0).is_err(), "a truncate was taken");
    let mut buffer = [0; 8];
    let count = raw.read_at(&mut buffer, 0)?;
    ensure!(&buffer[..count] == b"kept", "the bytes changed");
    Ok(())
}

/// Opening without CREATE leaves no trace; EXCLUSIVE refuses what is there, open or not.
pub fn a_missing_file_is_not_made_without_create(place: &Place) -> Outcome {
    let files = place.files();
    for options in [READ_ONLY, READ_WRITE] {
        ensure_code(
            files.open("file", options).map(drop),
            VfsErrorCode::CantOpen,
        )?;
        ensure!(!files.exists("file")?, "the attempt made the file");
    }
    let new = READ_WRITE.with_create_new();
    let file = files.open("file", new)?;
    ensure_code(files.open("file", new).map(drop), VfsErrorCode::CantOpen)?;
    drop(file);
    ensure_code(files.open("file", new).map(drop), VfsErrorCode::CantOpen)?;
    Ok(())
}

/// SQLite wants to know a missing file from one that cannot be deleted.
pub fn deleting_a_missing_file_is_told_apart(place: &Place) -> Outcome {
    ensure_code(
        place.files().delete("missing"),
        VfsErrorCode::IoDeleteNoEntry,
    )
}

/// Temporary files live in memory.
pub fn anonymous_files_do_not_reach_the_storage(place: &Place) -> Outcome {
    let options = OpenOptions::new(OpenAccess::ReadWrite, FileKind::TempDb).with_delete_on_close();
    let files = place.files();
    let mut first = files.open_anonymous(options)?;
    let mut second = files.open_anonymous(options)?;
    first.write(b"first", 0)?;
    second.write(b"other", 0)?;
    first.sync(SyncOptions {
        mode: SyncMode::Normal,
        data_only: false,
    })?;
    let mut buffer = [0; 5];
    ensure!(
        first.read(&mut buffer, 0)? == 5 && &buffer == b"first",
        "wrong bytes"
    );
    drop((first, second));
    let events = place.recording.take();
    ensure!(events.is_empty(), "calls reached the storage: {events:?}");
    Ok(())
}

/// A position beyond 32 bits is that position, or there is no room for it.
pub fn offsets_above_four_gib_do_not_wrap(place: &Place) -> Outcome {
    const FOUR_GIB: u64 = 1 << 32;
    let files = place.files();
    let mut file = files.open("file", CREATE)?;
    file.write(&[1; 8192], 0)?;
    let mut buffer = [9; 16];
    ensure!(
        file.read(&mut buffer, FOUR_GIB)? == 0,
        "a read above 4 GiB wrapped"
    );
    match file.write(&[2; 16], FOUR_GIB + 100) {
        Ok(()) => {
            ensure!(file.size()? == FOUR_GIB + 116, "size {}", file.size()?);
            ensure!(
                file.read(&mut buffer, FOUR_GIB + 100)? == 16,
                "short read above 4 GiB"
            );
            ensure!(buffer == [2; 16], "wrong bytes above 4 GiB");
            file.truncate(FOUR_GIB + 1)?;
            ensure!(
                file.size()? == FOUR_GIB + 1,
                "size {} after truncating",
                file.size()?
            );
        }
        Err(error) => {
            ensure!(error.code() == VfsErrorCode::Full, "not full, but: {error}");
            ensure!(
                file.size()? == 8192,
                "size {} after a refused write",
                file.size()?
            );
        }
    }
    let mut first = [0; 8192];
    ensure!(file.read(&mut first, 0)? == 8192, "short read");
    ensure!(
        first == [1; 8192],
        "a write above 4 GiB landed at the beginning"
    );
    Ok(())
}

/// Positions whose end is no signed 64-bit number are errors, not panics.
pub fn offsets_beyond_the_range_are_refused(place: &Place) -> Outcome {
    let files = place.files();
    let mut file = files.open("file", CREATE)?;
    file.write(b"kept", 0)?;
    let last = u64::try_from(i64::MAX)?;
    for offset_bytes in [last, last + 1, u64::MAX - 1, u64::MAX] {
        ensure_code(file.write(b"lost", offset_bytes), VfsErrorCode::Full)?;
        let read = file.read(&mut [0; 4], offset_bytes).map(drop);
        ensure_code(read, VfsErrorCode::IoRead)?;
        ensure_code(file.truncate(offset_bytes), VfsErrorCode::IoTruncate)?;
    }
    ensure!(file.size()? == 4, "size {}", file.size()?);
    Ok(())
}

/// A file has one name, whether it is there yet or not.
pub fn the_full_path_of_a_full_path_is_itself(place: &Place) -> Outcome {
    let path = place.path("file");
    let before = place.storage.full_path(&path)?;
    ensure!(
        place.storage.full_path(&before)? == before,
        "{before:?} is not full"
    );
    place.files().open("file", CREATE)?;
    let after = place.storage.full_path(&path)?;
    ensure!(
        before == after,
        "{before:?} before the file was there, {after:?} after"
    );
    ensure!(
        place.storage.full_path("").is_err(),
        "no name has a full path"
    );
    Ok(())
}

/// The error that SQLite shortens to a code is there to be asked for.
pub fn the_cause_of_a_failed_open_is_kept(place: &Place) -> Outcome {
    let vfs = place.vfs()?;
    ensure!(vfs.last_error().is_none(), "an error before any operation");
    let missing = vfs.connect(&place.path("missing"), OpenFlags::SQLITE_OPEN_READ_WRITE);
    let Err(refused) = missing else {
        return Err(Failure::new("a missing file was opened"));
    };
    ensure!(
        refused.sqlite_error_code() == Some(rusqlite::ErrorCode::CannotOpen),
        "unexpected error: {refused}"
    );
    let cause = vfs.last_error().ok_or_else(|| Failure::new("no cause"))?;
    ensure!(
        cause.code() == VfsErrorCode::CantOpen,
        "wrong cause: {cause}"
    );
    ensure!(
        cause.message().contains("missing"),
        "the cause names no file: {cause}"
    );
    Ok(())
}

/// Where times are kept at all. Nothing else sets them to the very millisecond.
pub fn a_time_that_is_kept_is_kept_to_the_millisecond(place: &Place) -> Outcome {
    let vfs = place.vfs()?;
    let path = place.path("file");
    ensure!(
        vfs.modified_ms(&path)?.is_none(),
        "a missing file has a time"
    );
    place.files().open("file", CREATE)?.write(b"x", 0)?;
    for step in 0..200 {
        let modified_ms = 1_790_000_000_000 + step * 1_000_003;
        let is_kept = vfs.set_modified_ms(&path, modified_ms)?;
        let found = vfs.modified_ms(&path)?;
        ensure!(
            !is_kept || found == Some(modified_ms),
            "{modified_ms} was set and {found:?} found"
        );
    }
    place.files().open("file", READ_WRITE)?.write(b"y", 0)?;
    let last_ms = 1_790_000_000_000 + 199 * 1_000_003;
    ensure!(
        vfs.modified_ms(&path)? != Some(last_ms),
        "a write left the time that was set"
    );
    Ok(())
}

/// Where files have one at all.
pub fn an_identity_tells_files_apart(place: &Place) -> Outcome {
    let storage = &place.storage;
    let (first, second) = (place.path("first"), place.path("second"));
    ensure!(
        storage.identity(&first)?.is_none(),
        "a missing file has an identity"
    );
    let files = place.files();
    let mut file = files.open("first", CREATE)?;
    let _other = files.open("second", CREATE)?;
    let identity = storage.identity(&first)?;
    file.write(b"x", 0)?;
    ensure!(
        storage.identity(&first)? == identity,
        "a write made another file of it"
    );
    ensure!(
        identity.is_none() || identity != storage.identity(&second)?,
        "two files are one: {identity:?}"
    );
    Ok(())
}

fn ensure_code(result: VfsResult<()>, code: VfsErrorCode) -> Outcome {
    match result {
        Err(error) if error.code() == code => Ok(()),
        Err(error) => Err(Failure::new(format!("expected {code:?}, got: {error}"))),
        Ok(()) => Err(Failure::new(format!("expected {code:?}, got success"))),
    }
}

/// Puts the place's directory before the fixed names of the other suite.
struct Prefixed {
    inner: Rc<dyn Storage>,
    prefix: String,
}

impl Prefixed {
    fn path(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

impl Storage for Prefixed {
    fn open(&self, path: &str, mode: OpenMode) -> Result<Box<dyn RawFile>, VfsError> {
        self.inner.open(&self.path(path), mode)
    }

    fn delete(&self, path: &str, sync_directory: bool) -> VfsResult<()> {
        self.inner.delete(&self.path(path), sync_directory)
    }

    fn sync_directory(&self, path: &str) -> VfsResult<()> {
        self.inner.sync_directory(&self.path(path))
    }

    fn exists(&self, path: &str) -> VfsResult<bool> {
        self.inner.exists(&self.path(path))
    }

    fn full_path(&self, path: &str) -> VfsResult<String> {
        self.inner.full_path(&self.path(path))
    }

    fn os(&self) -> &dyn rsqlite_vfs::OsCallback {
        self.inner.os()
    }
}
