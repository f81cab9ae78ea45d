//! Claims about what is written, and when.

use camino::Utf8PathBuf;
use leeward_core::report::EventKind;
use serde_json::json;

use super::*;
use crate::store::faulty::FaultyDisk;

fn event(number: u64) -> Event {
    let data = json!({ "number": number });
    Event { kind: EventKind::DriftHealed, subject: None, data }
}

fn events(journal: &Journal, numbers: &[u64]) -> Batch {
    let events = numbers.iter().map(|number| (journal.stamp(), event(*number))).collect();
    Batch { events, ..Batch::default() }
}

fn store() -> (tempfile::TempDir, Arc<Store>) {
    let folder = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap();
    let store = Store::open(&path.join("store"), 64 << 20).unwrap().store;
    (folder, Arc::new(store))
}

fn journal(store: &Arc<Store>, offload: Offload) -> Journal {
    let clock = Clock::simulated(Timestamp::UNIX_EPOCH);
    Journal::new(Arc::clone(store), offload, clock, 1, Timestamp::UNIX_EPOCH)
}

fn numbers(store: &Store) -> Vec<u64> {
    let head = store.outbox_head(1 << 20).unwrap();
    head.iter().filter_map(|entry| entry.event.data["number"].as_u64()).collect()
}

#[tokio::test(start_paused = true)]
async fn what_is_recorded_during_a_write_goes_together_into_the_next() {
    let (_folder, store) = store();
    let slow = Offload::new(|job| {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_secs(4)).await;
            job();
        })
    });
    let mut journal = journal(&store, slow);
    let tickets: Vec<u64> = (1..=3).map(|n| journal.record(events(&journal, &[n]))).collect();
    assert_eq!(tickets, [1, 2, 3]);
    assert!(!journal.is_written(1));
    let written = journal.written().await;
    assert_eq!(journal.take_in(written).len(), 1);
    assert!(journal.is_written(1) && !journal.is_written(2));
    let written = journal.written().await;
    assert_eq!(journal.take_in(written).len(), 2);
    assert!(journal.is_idle());
    assert_eq!(numbers(&store), [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn what_a_disk_refuses_is_written_in_order_once_it_takes_it() {
    let disk = FaultyDisk::new();
    let store = Arc::new(Store::open_on(disk.clone(), 64 << 20).unwrap().store);
    let mut journal = journal(&store, Offload::inline());
    disk.set_read_only(true);
    journal.record(events(&journal, &[1]));
    let (answer, mut answered) = oneshot::channel();
    journal.answer(Response::Done { message: "paused".to_owned() }, answer);
    let written = journal.written().await;
    assert!(journal.take_in(written).is_empty() && journal.fault().is_some());
    journal.settle_answers();
    assert!(matches!(answered.try_recv(), Ok(Response::Refused { .. })));
    journal.record(events(&journal, &[2]));
    disk.set_read_only(false);
    tokio::time::advance(RETRY).await;
    journal.write();
    let written = journal.written().await;
    assert_eq!(journal.take_in(written).len(), 2);
    assert_eq!((numbers(&store), journal.fault()), (vec![1, 2], None));
}

#[tokio::test]
async fn reports_that_no_disk_takes_are_bounded_and_their_loss_is_named() {
    let disk = FaultyDisk::new();
    let store = Arc::new(Store::open_on(disk.clone(), 64 << 20).unwrap().store);
    let mut journal = journal(&store, Offload::inline());
    disk.set_read_only(true);
    let many: Vec<u64> = (0..WAITING_EVENTS as u64 + 7).collect();
    journal.record(events(&journal, &many[..1]));
    let written = journal.written().await;
    journal.take_in(written);
    journal.record(events(&journal, &many[1..]));
    assert!(journal.fault().unwrap().ends_with("; 7 reports were lost meanwhile"));
}
