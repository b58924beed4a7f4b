//! The simulated disk keeps its own promises: what it keeps, what it can lose, and how it fails.
#![cfg(not(all(target_arch = "wasm32", target_os = "unknown")))]

use std::collections::BTreeSet;

use chatstore::vfs::conformance::Place;
use chatstore::vfs::simulated::{Fault, On, Script, SimulatedDisk};
use chatstore::vfs::{OpenMode, RawFile, Storage};
use rsqlite_vfs::VfsErrorCode;

chatstore::vfs_conformance!(test, Place::new(SimulatedDisk::new(1)));

const CREATE: OpenMode = OpenMode {
    create: true,
    exclusive: false,
    read_only: false,
    main_database: false,
};

/// A disk with a file of 4,096 times the letter `a`, name and all synced.
fn disk_with_a_file() -> (SimulatedDisk, Box<dyn RawFile>) {
    let disk = SimulatedDisk::new(1);
    let mut file = disk.open("f", CREATE).unwrap();
    file.write_at(&[b'a'; 4096], 0).unwrap();
    file.sync(true).unwrap();
    disk.sync_directory("f").unwrap();
    (disk, file)
}

/// What is found in the file after many losses of power, each another one.
fn outcomes(disk: &SimulatedDisk) -> BTreeSet<Option<Vec<u8>>> {
    (0..300)
        .map(|seed| disk.after_power_loss(seed).contents("f"))
        .collect()
}

#[test]
fn what_was_synced_is_kept_exactly() {
    let (disk, _file) = disk_with_a_file();
    let only: BTreeSet<_> = [Some(vec![b'a'; 4096])].into();
    assert_eq!(outcomes(&disk), only);
}

#[test]
fn of_what_was_not_synced_any_sectors_survive_in_any_order() {
    let (disk, mut file) = disk_with_a_file();
    file.write_at(&[b'b'; 4096], 0).unwrap();
    file.write_at(&[b'c'; 512], 1024).unwrap();
    let mut seen = BTreeSet::new();
    for found in outcomes(&disk) {
        let found = found.expect("a synced name stays");
        assert_eq!(found.len(), 4096);
        let sectors: Vec<u8> = found
            .chunks(512)
            .map(|sector| {
                assert!(
                    sector.iter().all(|byte| *byte == sector[0]),
                    "a sector was torn"
                );
                sector[0]
            })
            .collect();
        assert!(sectors.iter().all(|byte| b"abc".contains(byte)));
        seen.insert(sectors);
    }
    let has = |wanted: &dyn Fn(&Vec<u8>) -> bool| seen.iter().any(wanted);
    assert!(has(&|sectors| sectors.iter().all(|byte| *byte == b'a')));
    assert!(has(&|sectors| sectors[2] == b'c' && sectors[0] == b'a'));
    assert!(has(&|sectors| sectors[2] == b'b' && sectors[7] == b'a'));
    assert!(has(&|sectors| sectors[7] == b'b' && sectors[0] == b'a'));
    assert!(has(&|sectors| sectors == b"bbcbbbbb"));
}

#[test]
fn a_write_within_a_sector_leaves_the_bytes_beside_it() {
    let (disk, mut file) = disk_with_a_file();
    file.write_at(b"xyz", 600).unwrap();
    let (mut before, mut after) = (false, false);
    for found in outcomes(&disk) {
        let mut found = found.unwrap();
        let part: Vec<u8> = found.splice(600..603, *b"aaa").collect();
        before |= part == b"aaa";
        after |= part == b"xyz";
        assert_eq!(found, vec![b'a'; 4096]);
    }
    assert!(before && after);
}

#[test]
fn a_file_that_grew_has_one_of_its_sizes_and_may_hold_garbage() {
    let (disk, mut file) = disk_with_a_file();
    file.write_at(&[b'b'; 1024], 4096).unwrap();
    file.write_at(&[b'b'; 1024], 5120).unwrap();
    let found: Vec<Vec<u8>> = outcomes(&disk).into_iter().flatten().collect();
    let sizes: BTreeSet<usize> = found.iter().map(Vec::len).collect();
    assert!(sizes.contains(&4096) && sizes.contains(&6144), "{sizes:?}");
    assert!(found.iter().all(|found| found[..4096] == [b'a'; 4096]));
    let tails: Vec<&[u8]> = found.iter().map(|found| &found[4096..]).collect();
    let has = |byte: &dyn Fn(u8) -> bool| tails.iter().any(|tail| tail.iter().any(|b| byte(*b)));
    assert!(has(&|byte| byte == b'b'));
    assert!(has(&|byte| byte == 0));
    assert!(has(&|byte| byte != 0 && byte != b'b'), "never any garbage");
}

#[test]
fn a_truncation_can_be_lost_until_it_is_synced() {
    let (disk, mut file) = disk_with_a_file();
    file.truncate(0).unwrap();
    let sizes = |disk| -> BTreeSet<usize> {
        outcomes(disk)
            .into_iter()
            .map(|found| found.map_or(9999, |found| found.len()))
            .collect()
    };
    assert_eq!(sizes(&disk), [0, 4096].into());
    file.sync(true).unwrap();
    assert_eq!(sizes(&disk), [0].into());
}

#[test]
fn a_name_can_be_lost_until_its_directory_is_synced() {
    let disk = SimulatedDisk::new(1);
    let mut file = disk.open("f", CREATE).unwrap();
    file.sync(true).unwrap();
    assert_eq!(outcomes(&disk), [None, Some(Vec::new())].into());
    disk.sync_directory("f").unwrap();
    assert_eq!(outcomes(&disk), [Some(Vec::new())].into());
    drop(file);
    disk.delete("f", false).unwrap();
    assert!(!disk.exists("f").unwrap());
    assert_eq!(outcomes(&disk), [None, Some(Vec::new())].into());
    disk.sync_directory("f").unwrap();
    assert_eq!(outcomes(&disk), [None].into());
}

#[test]
fn a_process_that_died_leaves_all_it_wrote_and_can_do_no_more() {
    let (disk, mut file) = disk_with_a_file();
    file.write_at(b"last", 0).unwrap();
    let next = disk.kill();
    assert!(file.write_at(b"late", 0).is_err());
    assert!(disk.open("f", CREATE).is_err());
    let mut owner = next.open("f", CREATE).unwrap();
    let mut found = [0; 4];
    owner.read_at(&mut found, 0).unwrap();
    assert_eq!(&found, b"last");
    let lost = outcomes(&next)
        .iter()
        .any(|found| found.as_ref().unwrap()[0] == b'a');
    assert!(lost, "dying flushes nothing");
}

#[test]
fn a_history_gives_the_disk_at_every_operation() {
    let (disk, mut file) = disk_with_a_file();
    file.write_at(b"one", 0).unwrap();
    file.write_at(b"two", 0).unwrap();
    let history = disk.history();
    assert_eq!(history.operations(), 6);
    let mut replay = history.replay();
    let mut found = Vec::new();
    for operations in 0..=history.operations() {
        replay.advance(operations);
        // The death comes at times within the next write: one that it does not touch shows the rest.
        let contents = (0..20).filter_map(|seed| replay.after_process_death(seed).contents("f"));
        found.push(contents.min_by_key(Vec::len).map(|found| found.len()));
        let first = replay.after_process_death(3).contents("f");
        assert_eq!(first, replay.after_process_death(3).contents("f"));
    }
    let some = Some(4096);
    assert_eq!(found, [None, Some(0), some, some, some, some, some]);
}

#[test]
fn a_full_disk_takes_what_fits_and_says_so() {
    let (disk, mut file) = disk_with_a_file();
    disk.set_room_bytes(Some(5000));
    let error = file.write_at(&[b'b'; 4096], 4096).unwrap_err();
    assert_eq!(error.code(), VfsErrorCode::Full);
    assert_eq!(file.size_bytes().unwrap(), 5000);
    file.write_at(&[b'b'; 4096], 0).unwrap();
    disk.set_room_bytes(None);
    file.write_at(&[b'b'; 4096], 4096).unwrap();
}

#[test]
fn a_script_fails_the_calls_it_names_and_no_others() {
    let (disk, mut file) = disk_with_a_file();
    disk.fail(Script {
        on: On::Write,
        path_ends_with: "f",
        after_calls: 1,
        times: 2,
        fault: Fault::WritesOnly(2, VfsErrorCode::IoWrite),
    });
    disk.fail(Script {
        on: On::Read,
        path_ends_with: "",
        after_calls: 0,
        times: 1,
        fault: Fault::Fails(VfsErrorCode::IoRead),
    });
    file.write_at(b"1111", 0).unwrap();
    for _ in 0..2 {
        assert_eq!(
            file.write_at(b"2222", 0).unwrap_err().code(),
            VfsErrorCode::IoWrite
        );
    }
    file.write_at(b"33", 4).unwrap();
    let mut found = [0; 6];
    assert!(file.read_at(&mut found, 0).is_err());
    file.read_at(&mut found, 0).unwrap();
    assert_eq!(&found, b"221133");
}

#[test]
fn a_failed_flush_loses_what_reads_still_show_and_no_later_flush_brings_it() {
    let mut lost = 0;
    for seed in 0..20 {
        let disk = SimulatedDisk::new(seed);
        let mut file = disk.open("f", CREATE).unwrap();
        file.write_at(&[b'a'; 4096], 0).unwrap();
        file.sync(true).unwrap();
        disk.sync_directory("f").unwrap();
        file.write_at(&[b'b'; 4096], 0).unwrap();
        disk.fail(Script {
            on: On::Sync,
            path_ends_with: "f",
            after_calls: 0,
            times: 1,
            fault: Fault::LosesUnsynced,
        });
        assert!(file.sync(true).is_err());
        let mut found = [0; 4096];
        file.read_at(&mut found, 0).unwrap();
        assert_eq!(found, [b'b'; 4096]);
        file.sync(true).unwrap();
        let left = outcomes(&disk);
        assert_eq!(left.len(), 1, "what is left is settled");
        lost += usize::from(left.iter().flatten().any(|found| found.contains(&b'a')));
        // What is written again is kept.
        file.write_at(&[b'c'; 4096], 0).unwrap();
        file.sync(true).unwrap();
        assert_eq!(outcomes(&disk), [Some(vec![b'c'; 4096])].into());
    }
    assert!(lost > 0, "nothing was ever lost");
}

#[test]
fn a_flipped_bit_is_read_and_stays() {
    let (disk, mut file) = disk_with_a_file();
    disk.flip_bit("f", 7, 1);
    let mut found = [0; 8];
    file.read_at(&mut found, 0).unwrap();
    assert_eq!(&found, b"aaaaaaac");
    assert_eq!(disk.after_power_loss(1).contents("f").unwrap()[7], b'c');
}
