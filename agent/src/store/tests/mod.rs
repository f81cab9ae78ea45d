//! The store against real files, and against a disk that forgets.

mod crash;
mod files;
mod garbage;
mod outbox;
mod records;

use std::time::Duration;

use camino::Utf8PathBuf;
use leeward_core::{
    cycle::{AppRecord, RevisionRecord, SourceRecord},
    git::{Object, ObjectType, git_id},
    model::{
        AppSpec, ContentId, GitId, Heal, InventoryEntry, ObjectKey, PruneGuard, RETRY_INTERVAL,
    },
    report::{Event, EventKind, Stamp},
};
use serde_json::json;

use super::{Opened, Store, faulty::FaultyDisk};

const MAX_SIZE: u64 = 256 * 1024 * 1024;

fn memory() -> Store {
    Store::open_on(FaultyDisk::new(), MAX_SIZE).unwrap().store
}

fn folder() -> (tempfile::TempDir, Utf8PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::from_path_buf(folder.path().join("store")).unwrap();
    (folder, path)
}

fn open(path: &camino::Utf8Path) -> Opened {
    Store::open(path, MAX_SIZE).unwrap()
}

fn id(number: u64) -> GitId {
    format!("{number:040x}").parse().unwrap()
}

fn app(name: &str) -> AppRecord {
    let record = include_bytes!("../fixtures/app.v1");
    let mut record: AppRecord = super::schema::decode("app", record).unwrap();
    record.spec = AppSpec {
        name: name.to_owned(),
        path: name.to_owned(),
        depends_on: Vec::new(),
        heal: Heal::Always,
        timeout: Duration::from_mins(5),
        soak: Duration::from_mins(1),
        prune: PruneGuard { max_objects: 3, max_share: 0.3, first: false },
        retries: 0,
        retry_interval: RETRY_INTERVAL,
        formerly: Vec::new(),
        ignore_differences: Vec::new(),
        substitute: None,
        substitute_from: Vec::new(),
    };
    record
}

fn source(number: u64) -> SourceRecord {
    let record = include_bytes!("../fixtures/source.v1");
    let record: SourceRecord = super::schema::decode("source", record).unwrap();
    SourceRecord { commit: id(number), ..record }
}

fn revision(app: &str, number: u64) -> RevisionRecord {
    let record = include_bytes!("../fixtures/revision.v1");
    let record: RevisionRecord = super::schema::decode("revision", record).unwrap();
    RevisionRecord { app: app.to_owned(), content: ContentId(number.to_string()), ..record }
}

fn owned(name: &str) -> (ObjectKey, InventoryEntry) {
    let key = ObjectKey {
        group: "apps".to_owned(),
        kind: "Deployment".to_owned(),
        namespace: "shop".to_owned(),
        name: name.to_owned(),
    };
    let record = include_bytes!("../fixtures/inventory.v1");
    (key, super::schema::decode("inventory", record).unwrap())
}

fn stamp(boot: u64) -> Stamp {
    Stamp {
        boot,
        uptime_ms: 1000,
        wall: "2026-01-02T03:04:05Z".parse().unwrap(),
        clock_trusted: true,
    }
}

fn event(kind: EventKind, commit: &str) -> (Stamp, Event) {
    let data = json!({ "commit": commit });
    (stamp(1), Event { kind, subject: Some("shop".to_owned()), data })
}

fn object(kind: ObjectType, data: &[u8]) -> Object {
    let git = match kind {
        ObjectType::Commit => gix_object::Kind::Commit,
        ObjectType::Tree => gix_object::Kind::Tree,
        ObjectType::Blob => gix_object::Kind::Blob,
        ObjectType::Tag => gix_object::Kind::Tag,
    };
    let id = gix_object::compute_hash(gix_hash::Kind::Sha1, git, data).unwrap();
    Object { id: git_id(&id), kind, data: data.to_vec() }
}

fn blob(text: &str) -> Object {
    object(ObjectType::Blob, text.as_bytes())
}
