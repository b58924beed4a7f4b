//! The VFS over memory and over the native file system.
#![cfg(not(all(target_arch = "wasm32", target_os = "unknown")))]

mod memory {
    use chatstore::vfs::MemoryStorage;
    use chatstore::vfs::conformance::Place;

    chatstore::vfs_conformance!(test, Place::new(MemoryStorage::new()));
}

mod native {
    use chatstore::vfs::NativeStorage;
    use chatstore::vfs::conformance::Place;

    fn place() -> Place {
        let directory = tempfile::tempdir().unwrap();
        let prefix = format!("{}/", directory.path().to_str().unwrap());
        Place::new(NativeStorage::new())
            .in_directory(prefix)
            .keeping(directory)
    }

    chatstore::vfs_conformance!(test, super::native::place());
}
