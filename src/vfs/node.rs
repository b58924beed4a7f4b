//! Files through the `node:fs` module that JavaScript hands in.
//!
//! The wasm imports nothing of Node's: every call goes to the given object. The
//! functions are the synchronous ones, on views of wasm memory, so no byte is
//! copied on the way. Numbers cross as JavaScript's doubles: positions are
//! checked against 2^53 - 1 on the way out, counts and sizes on the way back.
//! That no other process has the file is for the host to see to.

use js_sys::{BigInt, Object, Reflect};
use rsqlite_vfs::{OsCallback, SystemErrorCode, VfsError, VfsErrorCode, VfsResult};
use wasm_bindgen::prelude::*;

use super::javascript::{
    absurd, checked_count, checked_size, described, exact_double, from_double, position, text_of,
};
use super::os::SystemOs;
use super::storage::{OpenMode, RawFile, Storage};

#[wasm_bindgen]
extern "C" {
    /// The module object of `node:fs`, or anything with the same functions.
    #[derive(Clone)]
    type NodeFs;

    #[wasm_bindgen(method, structural, catch, js_name = openSync)]
    fn open_sync(this: &NodeFs, path: &str, flags: &str) -> Result<f64, JsValue>;
    #[wasm_bindgen(method, structural, catch, js_name = closeSync)]
    fn close_sync(this: &NodeFs, fd: f64) -> Result<(), JsValue>;
    #[wasm_bindgen(method, structural, catch, js_name = readSync)]
    fn read_sync(
        this: &NodeFs,
        fd: f64,
        buffer: &mut [u8],
        offset: f64,
        length: f64,
        position: f64,
    ) -> Result<f64, JsValue>;
    #[wasm_bindgen(method, structural, catch, js_name = writeSync)]
    fn write_sync(
        this: &NodeFs,
        fd: f64,
        buffer: &[u8],
        offset: f64,
        length: f64,
        position: f64,
    ) -> Result<f64, JsValue>;
    #[wasm_bindgen(method, structural, catch, js_name = ftruncateSync)]
    fn ftruncate_sync(this: &NodeFs, fd: f64, length: f64) -> Result<(), JsValue>;
    #[wasm_bindgen(method, structural, catch, js_name = fsyncSync)]
    fn fsync_sync(this: &NodeFs, fd: f64) -> Result<(), JsValue>;
    #[wasm_bindgen(method, structural, catch, js_name = fdatasyncSync)]
    fn fdatasync_sync(this: &NodeFs, fd: f64) -> Result<(), JsValue>;
    #[wasm_bindgen(method, structural, catch, js_name = fstatSync)]
    fn fstat_sync(this: &NodeFs, fd: f64) -> Result<Stats, JsValue>;
    #[wasm_bindgen(method, structural, catch, js_name = futimesSync)]
    fn futimes_sync(this: &NodeFs, fd: f64, accessed: f64, modified: f64) -> Result<(), JsValue>;
    #[wasm_bindgen(method, structural, catch, js_name = statSync)]
    fn stat_sync(this: &NodeFs, path: &str, options: &Object) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, structural, catch, js_name = unlinkSync)]
    fn unlink_sync(this: &NodeFs, path: &str) -> Result<(), JsValue>;
    #[wasm_bindgen(method, structural, catch, js_name = realpathSync)]
    fn realpath_sync(this: &NodeFs, path: &str) -> Result<String, JsValue>;

    type Stats;
    #[wasm_bindgen(method, structural, catch, getter)]
    fn size(this: &Stats) -> Result<f64, JsValue>;
    #[wasm_bindgen(method, structural, catch, getter, js_name = mtimeMs)]
    fn mtime_ms(this: &Stats) -> Result<f64, JsValue>;
    #[wasm_bindgen(method, structural, catch, js_name = isDirectory)]
    fn is_directory(this: &Stats) -> Result<bool, JsValue>;
}

/// Files of the machine that Node runs on.
///
/// Relative paths start at the current directory of the process; SQLite is given
/// absolute ones, with links resolved. New files get the system's default mode.
/// It takes no lock against other processes: whoever makes the storage has to be
/// the only owner of its files.
pub struct NodeStorage {
    fs: NodeFs,
    os: SystemOs,
}

impl NodeStorage {
    /// A storage over `fs`, the module object of `node:fs`. An object that lacks
    /// one of its functions shows at the call of that function, as an I/O error.
    pub fn new(fs: JsValue) -> Self {
        Self {
            fs: fs.unchecked_into(),
            os: SystemOs,
        }
    }

    /// Opens with no flag that would cut an existing file: Node has none for
    /// "create, read and write" but in numbers that differ between systems.
    fn open_descriptor(&self, path: &str, mode: OpenMode) -> Result<f64, JsValue> {
        if mode.read_only {
            return self.fs.open_sync(path, "r");
        }
        if mode.create && mode.exclusive {
            return self.fs.open_sync(path, "wx+");
        }
        match self.fs.open_sync(path, "r+") {
            Err(error) if mode.create && name_of(&error).as_deref() == Some("ENOENT") => {
                match self.fs.open_sync(path, "wx+") {
                    // It came into being in between.
                    Err(error) if name_of(&error).as_deref() == Some("EEXIST") => {
                        self.fs.open_sync(path, "r+")
                    }
                    opened => opened,
                }
            }
            opened => opened,
        }
    }
}

impl Storage for NodeStorage {
    fn open(&self, path: &str, mode: OpenMode) -> VfsResult<Box<dyn RawFile>> {
        let fd = self.open_descriptor(path, mode).map_err(|error| {
            let denied = matches!(
                name_of(&error).as_deref(),
                Some("EACCES" | "EPERM" | "EROFS")
            );
            let code = if denied && !mode.read_only {
                VfsErrorCode::ReadOnly
            } else {
                VfsErrorCode::CantOpen
            };
            failed(code, "open", path, &error)
        })?;
        let file = NodeFile {
            fs: self.fs.clone(),
            fd,
            path: path.into(),
        };
        // A directory opens for reading like a file and fails at the first read.
        let is_directory = self
            .fs
            .fstat_sync(fd)
            .and_then(|stats| stats.is_directory());
        if is_directory.is_ok_and(|is_directory| is_directory) {
            return Err(VfsError::new(
                VfsErrorCode::CantOpen,
                format!("open {path:?}: EISDIR: is a directory").into(),
            ));
        }
        Ok(Box::new(file))
    }

    fn delete(&self, path: &str, sync_directory: bool) -> VfsResult<()> {
        self.fs.unlink_sync(path).map_err(|error| {
            let code = match name_of(&error).as_deref() {
                Some("ENOENT") => VfsErrorCode::IoDeleteNoEntry,
                _ => VfsErrorCode::IoDelete,
            };
            failed(code, "delete", path, &error)
        })?;
        if sync_directory {
            self.sync_directory(path)?;
        }
        Ok(())
    }

    fn sync_directory(&self, path: &str) -> VfsResult<()> {
        let synced = (|| {
            let fd = self.fs.open_sync(self.split(path).0, "r")?;
            let synced = self.fs.fsync_sync(fd);
            self.fs.close_sync(fd)?;
            synced
        })();
        match synced {
            // Some systems do not let a directory be opened or synced.
            Err(error)
                if !matches!(
                    name_of(&error).as_deref(),
                    Some("EISDIR" | "EPERM" | "EINVAL")
                ) =>
            {
                Err(failed(
                    VfsErrorCode::IoDirectorySync,
                    "sync directory of",
                    path,
                    &error,
                ))
            }
            _ => Ok(()),
        }
    }

    fn exists(&self, path: &str) -> VfsResult<bool> {
        match self.stat(path, false) {
            Ok(stats) => Ok(stats.is_some()),
            Err(error) => Err(failed(VfsErrorCode::IoAccess, "look for", path, &error)),
        }
    }

    fn full_path(&self, path: &str) -> VfsResult<String> {
        if path.is_empty() {
            // Node would take it for the current directory.
            return Err(VfsError::new(
                VfsErrorCode::CantOpen,
                "a file needs a name".into(),
            ));
        }
        let resolved = match self.fs.realpath_sync(path) {
            Err(error) if name_of(&error).as_deref() == Some("ENOENT") => {
                let (directory, name) = self.split(path);
                self.fs.realpath_sync(directory).map(|directory| {
                    let separator = if directory.starts_with('/') {
                        '/'
                    } else {
                        '\\'
                    };
                    format!("{}{separator}{name}", directory.trim_end_matches(separator))
                })
            }
            resolved => resolved,
        };
        resolved.map_err(|error| failed(VfsErrorCode::CantOpen, "resolve", path, &error))
    }

    fn modified_ms(&self, path: &str) -> VfsResult<Option<i64>> {
        let stats = self
            .stat(path, false)
            .map_err(|error| failed(VfsErrorCode::IoStat, "time of", path, &error))?;
        let Some(stats) = stats else {
            return Ok(None);
        };
        stats
            .unchecked_into::<Stats>()
            .mtime_ms()
            .map(nearest_ms)
            .map_err(|error| failed(VfsErrorCode::IoStat, "time of", path, &error))
    }

    fn identity(&self, path: &str) -> VfsResult<Option<String>> {
        // As big integers: inodes may be beyond what a double counts.
        let stats = self
            .stat(path, true)
            .map_err(|error| failed(VfsErrorCode::IoStat, "identity of", path, &error))?;
        Ok(stats.and_then(|stats| {
            let number = |name: &str| {
                let number = Reflect::get(&stats, &name.into()).ok()?;
                Some(String::from(
                    number.dyn_into::<BigInt>().ok()?.to_string(10).ok()?,
                ))
            };
            Some(format!("{}:{}", number("dev")?, number("ino")?))
        }))
    }

    fn os(&self) -> &dyn OsCallback {
        &self.os
    }
}

impl NodeStorage {
    /// What the system knows of a file; nothing where there is none.
    fn stat(&self, path: &str, big_integers: bool) -> Result<Option<JsValue>, JsValue> {
        let options = Object::new();
        Reflect::set(&options, &"throwIfNoEntry".into(), &JsValue::FALSE)?;
        Reflect::set(&options, &"bigint".into(), &big_integers.into())?;
        let stats = self.fs.stat_sync(path, &options)?;
        Ok((!stats.is_undefined()).then_some(stats))
    }

    /// The directory of a path, and the name in it. A backslash parts names only
    /// where the current directory shows that this is not a Unix.
    fn split<'a>(&self, path: &'a str) -> (&'a str, &'a str) {
        let is_unix = || {
            self.fs
                .realpath_sync(".")
                .is_ok_and(|path| path.starts_with('/'))
        };
        let separator = if path.contains('\\') && !is_unix() {
            path.rfind(['/', '\\'])
        } else {
            path.rfind('/')
        };
        match separator {
            Some(0) => ("/", &path[1..]),
            Some(at) => (&path[..at], &path[at + 1..]),
            None => (".", path),
        }
    }
}

/// An open descriptor and the name to report errors with.
struct NodeFile {
    fs: NodeFs,
    fd: f64,
    path: String,
}

impl RawFile for NodeFile {
    fn read_at(&mut self, buffer: &mut [u8], offset_bytes: u64) -> VfsResult<usize> {
        let mut done = 0;
        while done < buffer.len() {
            let rest = &mut buffer[done..];
            let length = rest.len();
            let position = position(offset_bytes, done, VfsErrorCode::IoRead)?;
            let count = self
                .fs
                .read_sync(self.fd, rest, 0.0, to_double(length)?, position)
                .map_err(|error| failed(VfsErrorCode::IoRead, "read", &self.path, &error))?;
            match checked_count(count, length) {
                Some(0) => break,
                Some(count) => done += count,
                None => {
                    let code = VfsErrorCode::IoRead;
                    return Err(absurd(code, "read", &self.path, count, length));
                }
            }
        }
        Ok(done)
    }

    fn write_at(&mut self, bytes: &[u8], offset_bytes: u64) -> VfsResult<()> {
        let mut done = 0;
        while done < bytes.len() {
            let rest = &bytes[done..];
            let length = rest.len();
            let position = position(offset_bytes, done, VfsErrorCode::Full)?;
            let count = self
                .fs
                .write_sync(self.fd, rest, 0.0, to_double(length)?, position)
                .map_err(|error| failed(VfsErrorCode::IoWrite, "write", &self.path, &error))?;
            match checked_count(count, length) {
                None | Some(0) => {
                    let code = VfsErrorCode::IoWrite;
                    return Err(absurd(code, "write", &self.path, count, length));
                }
                Some(count) => done += count,
            }
        }
        Ok(())
    }

    fn truncate(&mut self, size_bytes: u64) -> VfsResult<()> {
        let size = position(size_bytes, 0, VfsErrorCode::IoTruncate)?;
        self.fs
            .ftruncate_sync(self.fd, size)
            .map_err(|error| failed(VfsErrorCode::IoTruncate, "truncate", &self.path, &error))
    }

    fn sync(&mut self, data_only: bool) -> VfsResult<()> {
        let synced = if data_only {
            self.fs.fdatasync_sync(self.fd)
        } else {
            self.fs.fsync_sync(self.fd)
        };
        synced.map_err(|error| failed(VfsErrorCode::IoSync, "sync", &self.path, &error))
    }

    fn size_bytes(&self) -> VfsResult<u64> {
        let size = self
            .fs
            .fstat_sync(self.fd)
            .and_then(|stats| stats.size())
            .map_err(|error| failed(VfsErrorCode::IoStat, "size of", &self.path, &error))?;
        checked_size(size, &self.path)
    }

    fn set_modified_ms(&mut self, modified_ms: i64) -> VfsResult<bool> {
        let Some(seconds) = exact_double(modified_ms.unsigned_abs()).map(|ms| {
            // Node takes seconds. What that rounds away is less than a microsecond.
            if modified_ms < 0 {
                -ms / 1000.0
            } else {
                ms / 1000.0
            }
        }) else {
            return Ok(false);
        };
        self.fs
            .futimes_sync(self.fd, seconds, seconds)
            .and_then(|()| self.fs.fstat_sync(self.fd)?.mtime_ms())
            .map(|kept| nearest_ms(kept) == Some(modified_ms))
            .map_err(|error| failed(VfsErrorCode::Io, "set the time of", &self.path, &error))
    }
}

impl Drop for NodeFile {
    fn drop(&mut self) {
        // What had to be durable was synced before; there is no one left to tell.
        let _ = self.fs.close_sync(self.fd);
    }
}

fn to_double(length: usize) -> VfsResult<f64> {
    u64::try_from(length)
        .ok()
        .and_then(exact_double)
        .ok_or_else(|| VfsError::new(VfsErrorCode::Io, "buffer beyond 2^53 - 1 bytes".into()))
}

/// The whole number of milliseconds that a time of Node's is nearest to.
fn nearest_ms(ms: f64) -> Option<i64> {
    let distance = i64::try_from(from_double(ms.abs().round())?).ok()?;
    Some(if ms < 0.0 { -distance } else { distance })
}

/// The system's name of an error, such as `ENOSPC`. Node's own messages begin with it.
fn name_of(error: &JsValue) -> Option<String> {
    text_of(error, "code")
}

fn failed(code: VfsErrorCode, operation: &str, path: &str, error: &JsValue) -> VfsError {
    let name = name_of(error);
    let code = match name.as_deref() {
        Some("ENOSPC" | "EDQUOT" | "EFBIG") => VfsErrorCode::Full,
        Some("ENOMEM") => VfsErrorCode::NoMemory,
        _ => code,
    };
    let described = described(code, operation, path, name.as_deref(), error);
    let number = Reflect::get(error, &"errno".into())
        .ok()
        .and_then(|number| number.as_f64())
        // Node gives the system's number negated.
        .and_then(|number| from_double(number.abs()))
        .and_then(|number| i32::try_from(number).ok())
        .and_then(SystemErrorCode::from_raw);
    match number {
        Some(number) => described.with_system_error(number),
        None => described,
    }
}
