//! Backups of an engine at work, and what comes back of them.

use std::sync::Arc;

use super::*;
use crate::engine::tests::{all, group, new_stream, one, open, put, small};
use crate::engine::{Group, Options, Origin, Part, Permit};
use crate::ids::Offset;
use crate::store::memory::MemDisk;

async fn back_up(engine: &Engine, source: &MemDisk, target: &MemDisk) -> Result<Done, BackupError> {
    let (picture, _hold) = engine.picture().await.unwrap();
    copy(&picture, "c", 7, source, target, &mut |_| (), &mut || true)
}

fn bring_back(backup: &MemDisk) -> Result<MemDisk, BackupError> {
    let disk = MemDisk::new();
    let target: Arc<dyn Disk> = Arc::new(disk.clone());
    let restored = restore(backup, &target, &mut || 9, &mut |_| ())?;
    assert_eq!((restored.cluster.as_str(), restored.taken_ms), ("c", 7));
    Ok(disk)
}

#[tokio::test]
async fn what_was_acknowledged_before_a_backup_is_in_it_while_writing_goes_on() {
    let disk = MemDisk::new();
    let engine = open(&disk, small()).await;
    let stream = new_stream(&engine, "s", 2, &[]).await;
    for i in 0..150u8 {
        put(&engine, stream.logs[0], &[i; 200], 1).await;
    }
    let writer = {
        let (engine, logs) = (engine.clone(), stream.logs.clone());
        tokio::spawn(async move {
            for i in 0..200u8 {
                let part = |log| Part::new(log, one(&[i; 100], 2));
                let parts = vec![part(logs[0]), part(logs[1])];
                engine.append(Group { parts, origin: Origin::Client }, Permit::default()).await.unwrap();
            }
        })
    };
    tokio::task::yield_now().await;
    let target = MemDisk::new();
    back_up(&engine, &disk, &target).await.unwrap();
    writer.await.unwrap();
    let (had, secret) = (all(&engine, stream.logs[0], Offset(0)).await, *engine.secret());
    engine.close().await;

    let engine = open(&bring_back(&target).unwrap(), small()).await;
    assert_eq!(engine.catalog().stream("s"), Some(&stream));
    assert_eq!(engine.secret(), &secret);
    let back = [all(&engine, stream.logs[0], Offset(0)).await, all(&engine, stream.logs[1], Offset(0)).await];
    assert!(back[0].len() >= 150, "{} records", back[0].len());
    assert_eq!(back[0], had[..back[0].len()]);
    assert_eq!(back[0].len() - 150, back[1].len(), "groups are whole");
    let next = put(&engine, stream.logs[0], b"x", 3).await;
    assert_eq!(next.first.0 as usize, back[0].len());
    engine.close().await;
}

#[tokio::test]
async fn a_second_backup_copies_only_what_is_new() {
    let (disk, target) = (MemDisk::new(), MemDisk::new());
    let engine = open(&disk, small()).await;
    let log = new_stream(&engine, "s", 1, &[]).await.logs[0];
    for i in 0..200u8 {
        put(&engine, log, &[i; 300], 1).await;
    }
    let first = back_up(&engine, &disk, &target).await.unwrap();
    assert_eq!(first.copied_bytes, first.bytes);
    assert_eq!(back_up(&engine, &disk, &target).await.unwrap().copied_bytes, 0);
    for i in 0..50u8 {
        put(&engine, log, &[i; 300], 1).await;
    }
    let third = back_up(&engine, &disk, &target).await.unwrap();
    assert_eq!(third.copied_bytes, third.bytes - first.bytes);
    engine.close().await;
    let engine = open(&bring_back(&target).unwrap(), small()).await;
    assert_eq!(all(&engine, log, Offset(0)).await.len(), 250);
    engine.close().await;
}

#[tokio::test]
async fn a_backup_that_broke_off_leaves_the_one_before_it_whole() {
    let (disk, target) = (MemDisk::new(), MemDisk::faulty());
    let engine = open(&disk, small()).await;
    let log = new_stream(&engine, "s", 1, &[]).await.logs[0];
    for i in 0..100u8 {
        put(&engine, log, &[i; 300], 1).await;
    }
    back_up(&engine, &disk, &target).await.unwrap();
    for i in 0..100u8 {
        put(&engine, log, &[i; 300], 1).await;
    }
    let calls = {
        let whole = target.kill();
        back_up(&engine, &disk, &whole).await.unwrap();
        whole.calls()
    };
    let mut found = BTreeSet::new();
    for call in 1..=calls {
        let broken = target.kill();
        broken.crash_at(call, crate::store::memory::When::Before);
        let outcome = back_up(&engine, &disk, &broken).await;
        assert!(outcome.is_err(), "call {call}");
        let engine = open(&bring_back(&broken.crash(call)).unwrap(), small()).await;
        found.insert(all(&engine, log, Offset(0)).await.len());
        engine.close().await;
    }
    assert_eq!(found, BTreeSet::from([100, 200]), "the one before, or the new one");
    engine.close().await;
}

#[tokio::test]
async fn what_is_given_up_during_a_backup_is_still_copied_and_removed_after_it() {
    let (disk, target) = (MemDisk::new(), MemDisk::new());
    let engine = open(&disk, small()).await;
    let stream = new_stream(&engine, "s", 1, &[]).await;
    let log = stream.logs[0];
    for i in 0..100u8 {
        put(&engine, log, &[i; 300], 1).await;
    }
    let (picture, hold) = engine.picture().await.unwrap();
    engine.change(vec![crate::engine::Change::Delete { id: stream.id }]).await.remove(0).unwrap();
    engine.append(group(crate::engine::catalog::CATALOG_LOG, one(b"", 1)), Permit::default()).await.ok();
    copy(&picture, "c", 7, &disk, &target, &mut |_| (), &mut || true).unwrap();
    engine.close().await;
    drop(hold);
    assert!(!disk.list("logs").unwrap().contains(&log.to_string()));
    let engine = open(&bring_back(&target).unwrap(), Options::default()).await;
    assert_eq!(all(&engine, log, Offset(0)).await.len(), 100);
    engine.close().await;
}

#[tokio::test]
async fn a_damaged_backup_is_refused_with_the_file_named() {
    let (disk, target) = (MemDisk::new(), MemDisk::faulty());
    let engine = open(&disk, small()).await;
    let log = new_stream(&engine, "s", 1, &[]).await.logs[0];
    for i in 0..100u8 {
        put(&engine, log, &[i; 300], 1).await;
    }
    back_up(&engine, &disk, &target).await.unwrap();
    engine.close().await;
    let picture = target.list("").unwrap().into_iter().find(|name| name.starts_with("picture-")).unwrap();
    let records = "logs/16/00000000000000000000.log".to_string();
    let side = "logs/16/00000000000000000000.side".to_string();
    for name in ["manifest".to_string(), picture, records, side] {
        for bit in [3, 800] {
            let damaged = target.kill();
            damaged.flip(&name, bit).unwrap();
            let error = bring_back(&damaged).err().unwrap().to_string();
            assert!(error.contains(&name), "{name}: {error}");
        }
        let damaged = target.kill();
        damaged.remove(&name).unwrap();
        let error = bring_back(&damaged).err().unwrap().to_string();
        assert!(error.contains(&name), "{name} is gone: {error}");
    }
}

#[tokio::test]
async fn other_peoples_directories_are_left_alone() {
    let disk = MemDisk::new();
    let engine = open(&disk, small()).await;
    let target = MemDisk::new();
    target.open("thesis.tex", Open::CreateNew).unwrap();
    assert!(matches!(back_up(&engine, &disk, &target).await, Err(BackupError::Refused(_))));
    let target = MemDisk::new();
    back_up(&engine, &disk, &target).await.unwrap();
    let (picture, _hold) = engine.picture().await.unwrap();
    let other = copy(&picture, "another", 7, &disk, &target, &mut |_| (), &mut || true);
    assert!(matches!(other, Err(BackupError::Refused(_))));
    let full: Arc<dyn Disk> = Arc::new(disk.clone());
    assert!(matches!(restore(&target, &full, &mut || 9, &mut |_| ()), Err(BackupError::Refused(_))));
    engine.close().await;
}
