//! Every kind of server, both layouts, every kind of change.

use super::{fleet::*, server::Server, *};

const CLUSTERS: usize = 120;
const OWN: usize = 42;

/// First sync, nothing new, foreign change, own change, fleet-wide change, jump over many, force push.
async fn everything_arrives(layout: Layout, policy: Policy) {
    let repository = Repository::fleet(layout, policy, CLUSTERS);
    let server = Server::start(&repository);
    let objects = MemoryObjects::default();
    let mut source = GitSource::new(config(&server, &repository.path(OWN)), &objects, None);
    let first = fetch_and_compare(&mut source, &repository, None).await;
    assert_eq!(first.reference, "refs/heads/main");
    let before = objects.len();
    let again = fetch_and_compare(&mut source, &repository, Some(first.commit)).await;
    assert_eq!((again.commit, objects.len()), (first.commit, before));

    another_folder(&mut source, &repository, first.commit, None).await;

    repository.change([3, 57]);
    let foreign = fetch_and_compare(&mut source, &repository, Some(first.commit)).await;
    assert_eq!(foreign.tree, first.tree);
    another_folder(&mut source, &repository, foreign.commit, Some(first.commit)).await;

    repository.change([OWN]);
    let own = fetch_and_compare(&mut source, &repository, Some(foreign.commit)).await;
    assert_ne!(own.tree, first.tree);

    repository.change(0..CLUSTERS);
    let all = fetch_and_compare(&mut source, &repository, Some(own.commit)).await;

    repository.commits(30, |cluster, stream| write_change(stream, layout, cluster, 50));
    repository.commit(|stream| write_cluster(stream, layout, OWN, 99));
    let jumped = fetch_and_compare(&mut source, &repository, Some(all.commit)).await;

    // Back to the second commit, and off in another direction.
    repository.git(&["update-ref", "refs/heads/main", &foreign.commit.to_string()]);
    repository.change([OWN, 7]);
    fetch_and_compare(&mut source, &repository, Some(jumped.commit)).await;
}

/// What an app refers to elsewhere, and what is not there; the path of its own is as before.
async fn another_folder(
    source: &mut GitSource<&MemoryObjects>,
    repository: &Repository,
    commit: GitId,
    have: Option<GitId>,
) {
    let other = repository.path(57);
    let poor = source.fetch_folder(commit, have, &other, 100).await.unwrap_err();
    assert_eq!(
        (poor.step, poor.evidence),
        (LinkStep::Path, format!("`{other}` takes more than 100 bytes"))
    );
    for folder in ["docs", other.as_str()] {
        let fetched = source.fetch_folder(commit, have, folder, u64::MAX).await.unwrap();
        let files = fetched_files(source.objects(), fetched.tree.unwrap());
        assert_eq!(files, repository.files(folder));
        // Again it costs nothing.
        let again = source.fetch_folder(commit, have, folder, u64::MAX).await.unwrap();
        assert_eq!((again.tree, again.sent, again.received), (fetched.tree, 0, 0));
    }
    for folder in ["docs/none", "README.md"] {
        assert_eq!(source.fetch_folder(commit, have, folder, u64::MAX).await.unwrap().tree, None);
    }
    assert_eq!(source.config.path, repository.path(OWN));
}

#[tokio::test]
async fn everything_arrives_flat_with_all_filters() {
    everything_arrives(Layout::Flat, Policy::AllFilters).await;
}

#[tokio::test]
async fn everything_arrives_sharded_with_all_filters() {
    everything_arrives(Layout::Sharded, Policy::AllFilters).await;
}

#[tokio::test]
async fn everything_arrives_flat_from_a_server_with_coarse_filters() {
    everything_arrives(Layout::Flat, Policy::Coarse).await;
}

#[tokio::test]
async fn everything_arrives_sharded_from_a_server_with_coarse_filters() {
    everything_arrives(Layout::Sharded, Policy::Coarse).await;
}

#[tokio::test]
async fn everything_arrives_flat_from_a_server_that_leaves_out_blobs_only() {
    everything_arrives(Layout::Flat, Policy::BlobNoneOnly).await;
}

#[tokio::test]
async fn everything_arrives_flat_without_filters() {
    everything_arrives(Layout::Flat, Policy::NoFilter).await;
}

#[tokio::test]
async fn everything_arrives_sharded_without_filters() {
    everything_arrives(Layout::Sharded, Policy::NoFilter).await;
}

#[tokio::test]
async fn the_root_of_a_repository_can_be_the_path() {
    let repository = Repository::fleet(Layout::Flat, Policy::AllFilters, 3);
    let server = Server::start(&repository);
    let objects = MemoryObjects::default();
    let mut source = GitSource::new(config(&server, ""), &objects, None);
    let first = fetch_and_compare(&mut source, &repository, None).await;
    repository.change([1]);
    fetch_and_compare(&mut source, &repository, Some(first.commit)).await;
}

#[tokio::test]
async fn an_annotated_tag_leads_to_its_commit_and_a_pinned_commit_needs_no_refs() {
    let repository = Repository::fleet(Layout::Flat, Policy::AllFilters, 3);
    repository.git(&[
        "-c",
        "user.name=x",
        "-c",
        "user.email=x@example.com",
        "tag",
        "-a",
        "v1",
        "-m",
        "one",
        "main",
    ]);
    let server = Server::start(&repository);
    let objects = MemoryObjects::default();
    let tag = SourceConfig {
        reference: Reference::Tag("v1".into()),
        ..config(&server, &repository.path(1))
    };
    let fetched =
        fetch_and_compare(&mut GitSource::new(tag, &objects, None), &repository, None).await;
    assert_eq!(fetched.reference, "refs/tags/v1");

    server.take_requests();
    let objects = MemoryObjects::default();
    let pin = SourceConfig {
        reference: Reference::Commit(repository.head()),
        ..config(&server, &repository.path(1))
    };
    let fetched =
        fetch_and_compare(&mut GitSource::new(pin, &objects, None), &repository, None).await;
    assert_eq!(fetched.reference, "");
    assert!(!server.take_requests().iter().any(|request| request.contains("ls-refs")));
}

#[tokio::test]
async fn what_a_server_can_do_is_remembered_across_restarts() {
    let repository = Repository::fleet(Layout::Flat, Policy::Coarse, 20);
    let server = Server::start(&repository);
    let objects = MemoryObjects::default();
    let mut source = GitSource::new(config(&server, &repository.path(1)), &objects, None);
    let first = fetch_and_compare(&mut source, &repository, None).await;
    repository.change([5]);
    let second = fetch_and_compare(&mut source, &repository, Some(first.commit)).await;
    let memory = source.take_changed_memory().expect("it learned that depths are refused");
    assert_eq!(source.take_changed_memory(), None);

    repository.change([6]);
    server.take_requests();
    let mut restarted =
        GitSource::new(config(&server, &repository.path(1)), &objects, Some(&memory));
    fetch_and_compare(&mut restarted, &repository, Some(second.commit)).await;
    let requests = server.take_requests();
    assert_eq!(requests.len(), 2, "one for the ref, one for the change: {requests:?}");
}

#[tokio::test]
async fn a_commit_that_the_server_lost_does_no_harm_as_base() {
    let repository = Repository::fleet(Layout::Flat, Policy::AllFilters, 20);
    let server = Server::start(&repository);
    let objects = MemoryObjects::default();
    let mut source = GitSource::new(config(&server, &repository.path(1)), &objects, None);
    let first = fetch_and_compare(&mut source, &repository, None).await;
    let rebuilt = Repository::fleet(Layout::Flat, Policy::AllFilters, 20);
    rebuilt.commit(|stream| write_cluster(stream, Layout::Flat, 1, 7));
    let other = Server::start(&rebuilt);
    let mut moved = GitSource::new(config(&other, &rebuilt.path(1)), &objects, None);
    rebuilt.change([2]);
    fetch_and_compare(&mut moved, &rebuilt, Some(first.commit)).await;
}

#[tokio::test]
async fn a_server_without_filters_is_hung_up_on_before_it_sends_everything() {
    for layout in [Layout::Flat, Layout::Sharded] {
        let repository = Repository::fleet(layout, Policy::NoFilter, 450);
        repository.commit(|stream| write_file(stream, "a-video.bin", &noise(99, 6_000_000)));
        let server = Server::start(&repository);
        let objects = MemoryObjects::default();
        let mut source = GitSource::new(config(&server, &repository.path(OWN)), &objects, None);
        let first = fetch_and_compare(&mut source, &repository, None).await;
        assert!(first.received < 100_000, "{layout:?}: {} bytes", first.received);
    }
}

#[tokio::test]
async fn a_server_that_ignores_filters_is_found_out() {
    let repository = Repository::fleet(Layout::Flat, Policy::AllFilters, CLUSTERS);
    repository.commit(|stream| write_file(stream, "video.bin", &noise(99, 6_000_000)));
    let server = Server::start(&repository);
    server.behaviour.ignores_filters.store(true, std::sync::atomic::Ordering::SeqCst);
    let objects = MemoryObjects::default();
    let mut source = GitSource::new(config(&server, &repository.path(OWN)), &objects, None);
    let first = fetch_and_compare(&mut source, &repository, None).await;
    assert!(first.received < 700_000, "{} bytes", first.received);
    repository.change([OWN, 3]);
    fetch_and_compare(&mut source, &repository, Some(first.commit)).await;
}

/// As Gerrit and others do by policy.
#[tokio::test]
async fn a_server_that_refuses_ids_is_read_whole_and_only_ours_is_kept() {
    for policy in [Policy::AllFilters, Policy::NoFilter] {
        let repository = Repository::fleet(Layout::Flat, policy, 40);
        let server = Server::start(&repository);
        server.behaviour.refuses_ids.store(true, std::sync::atomic::Ordering::SeqCst);
        let objects = MemoryObjects::default();
        let mut source = GitSource::new(config(&server, &repository.path(5)), &objects, None);
        let first = fetch_and_compare(&mut source, &repository, None).await;
        assert!(objects.len() < 40, "{} objects", objects.len());
        repository.change([5, 6]);
        fetch_and_compare(&mut source, &repository, Some(first.commit)).await;
    }
}

/// The decoder takes what `git pack-objects` really writes, in pieces of every size.
#[test]
fn real_packs_with_deltas_decode_in_pieces_of_any_size() {
    use leeward_core::git::{Decoded, PackDecoder};
    let repository = Repository::fleet(Layout::Flat, Policy::AllFilters, 10);
    repository.commits(10, |cluster, stream| write_change(stream, Layout::Flat, cluster, 50));
    let list = repository.git(&["rev-list", "--objects", "--no-object-names", "main"]);
    for options in [&["--delta-base-offset"][..], &[]] {
        let mut child = std::process::Command::new("git")
            .args(["-C", repository.folder(), "pack-objects", "--stdout", "-q", "--no-reuse-delta"])
            .args(options)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), list.as_bytes()).unwrap();
        let pack = child.wait_with_output().unwrap().stdout;
        let mut expected: Vec<String> = list.lines().map(str::to_owned).collect();
        expected.sort();
        for piece in [1, 7, 4_096, pack.len()] {
            let mut decoder = PackDecoder::new(PackLimits::default());
            let (store, mut out) = (MemoryObjects::default(), Vec::new());
            for bytes in pack.chunks(piece) {
                decoder.push(bytes, &store, &mut out).unwrap();
            }
            let mut found: Vec<String> = out
                .iter()
                .map(|decoded| match decoded {
                    Decoded::Object(object) => object.id.to_string(),
                    Decoded::Oversized { .. } => panic!("nothing here is large"),
                })
                .collect();
            found.sort();
            assert_eq!(found, expected);
            assert!(decoder.is_complete() && decoder.unresolved() == 0);
        }
    }
}
