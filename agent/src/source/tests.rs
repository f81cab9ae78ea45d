//! Real `git http-backend` behind a small HTTP server that can cut connections.

mod bytes;
mod faults;
mod fleet;
mod matrix;
mod server;
mod weak_links;

use std::{collections::BTreeMap, sync::Once, time::Duration};

use leeward_core::git::{EntryMode, walk};

use self::{fleet::Repository, server::Server};
use super::*;
use crate::config::{Reference, TlsFiles};

pub(super) fn config(server: &Server, path: &str) -> SourceConfig {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        drop(rustls::crypto::ring::default_provider().install_default());
    });
    SourceConfig {
        url: server.url(),
        reference: Reference::Branch("main".into()),
        path: path.into(),
        allowed_roots: vec![String::new()],
        interval: Duration::from_secs(30),
        username: None,
        password_file: None,
        token_file: None,
        tls: TlsFiles::default(),
        proxy: None,
    }
}

/// Path and id of every file below the fetched folder, read from our store.
pub(super) fn fetched_files(objects: &MemoryObjects, tree: GitId) -> BTreeMap<String, String> {
    walk(objects, tree)
        .map(Result::unwrap)
        .filter(|listed| matches!(listed.mode, EntryMode::File { .. }))
        .map(|listed| {
            let (_, data) = objects.read(listed.id).unwrap().expect("every blob is there");
            let id = leeward_core::git::hash_object(leeward_core::git::ObjectType::Blob, &data);
            (listed.path, id.unwrap().to_string())
        })
        .collect()
}

/// Fetches, and compares with what Git itself lists.
pub(super) async fn fetch_and_compare(
    source: &mut GitSource<&MemoryObjects>,
    repository: &Repository,
    have: Option<GitId>,
) -> Fetched {
    let fetched = source.fetch(have).await.unwrap();
    let objects = *source.objects();
    assert_eq!(fetched.commit.to_string(), repository.head());
    assert_eq!(fetched_files(objects, fetched.tree), repository.files(&source.config.path));
    fetched
}
