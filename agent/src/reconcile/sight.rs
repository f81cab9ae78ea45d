//! How well the cluster can be seen: which kinds cannot be watched, and whether
//! that is the API server's trouble or only theirs.

use std::collections::{BTreeMap, BTreeSet};

use leeward_core::model::{ClusterFault, Kind, KindVersion};

/// What the watches said about being lost. Bounded by the kinds that are watched.
#[derive(Debug, Default)]
pub(super) struct Sight {
    /// Why the API server as a whole cannot be seen.
    api_server: Option<String>,
    /// Why a single kind cannot be watched, though the API server answers.
    kinds: BTreeMap<Kind, String>,
}

impl Sight {
    /// Notes that the watch of `kind` is lost.
    pub(super) fn lost(&mut self, kind: Kind, fault: &ClusterFault) {
        if fault.is_api_server() {
            self.api_server = Some(fault.to_string());
            return;
        }
        // Any other fault is an answer, so the API server is there.
        self.api_server = None;
        if matches!(fault, ClusterFault::UnknownKind(_)) {
            // A kind that is not served has no objects; nothing of it is missed.
            self.kinds.remove(&kind);
        } else {
            self.kinds.insert(kind, fault.to_string());
        }
    }

    /// Notes that `kind` could be listed.
    pub(super) fn listed(&mut self, kind: &Kind) {
        self.api_server = None;
        self.kinds.remove(kind);
    }

    /// Forgets kinds that are no longer watched.
    pub(super) fn keep(&mut self, watched: &BTreeSet<KindVersion>) {
        self.kinds.retain(|kind, _| watched.iter().any(|watched| watched.kind == *kind));
    }

    pub(super) fn api_server(&self) -> Option<&str> {
        self.api_server.as_deref()
    }

    /// The kinds that cannot be watched though the API server answers, and why.
    pub(super) fn kinds(&self) -> &BTreeMap<Kind, String> {
        &self.kinds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shop() -> Kind {
        Kind::new("example.com", "Shop")
    }

    fn forbidden() -> ClusterFault {
        ClusterFault::Forbidden { message: "cannot list shops".to_owned() }
    }

    fn away() -> ClusterFault {
        ClusterFault::Unreachable { message: "connection refused".to_owned() }
    }

    #[test]
    fn a_kind_that_may_not_be_watched_is_not_the_api_server() {
        let mut sight = Sight::default();
        sight.lost(shop(), &forbidden());
        assert_eq!(sight.api_server(), None);
        let said = "the API server does not permit it: cannot list shops".to_owned();
        assert_eq!(sight.kinds(), &BTreeMap::from([(shop(), said)]));
    }

    #[test]
    fn a_kind_that_can_be_listed_again_is_forgotten_and_others_are_not() {
        let mut sight = Sight::default();
        sight.lost(shop(), &forbidden());
        sight.lost(Kind::new("", "Pod"), &forbidden());
        sight.listed(&shop());
        assert_eq!(sight.kinds().keys().collect::<Vec<_>>(), [&Kind::new("", "Pod")]);
    }

    #[test]
    fn an_api_server_that_is_away_says_nothing_of_one_kind() {
        let mut sight = Sight::default();
        sight.lost(shop(), &away());
        assert!(sight.api_server().is_some() && sight.kinds().is_empty());
    }

    #[test]
    fn any_answer_even_a_refusal_shows_that_the_api_server_is_back() {
        let unknown = KindVersion { kind: shop(), version: "v1".to_owned() };
        for answer in [forbidden(), ClusterFault::UnknownKind(unknown)] {
            let mut sight = Sight::default();
            sight.lost(shop(), &away());
            sight.lost(shop(), &answer);
            assert_eq!(sight.api_server(), None, "{answer}");
        }
    }

    #[test]
    fn a_kind_that_is_not_served_or_not_watched_any_more_is_not_missed() {
        let mut sight = Sight::default();
        let version = KindVersion { kind: shop(), version: "v1".to_owned() };
        sight.lost(shop(), &forbidden());
        sight.keep(&BTreeSet::from([version.clone()]));
        assert_eq!(sight.kinds().len(), 1);
        sight.lost(shop(), &ClusterFault::UnknownKind(version));
        assert!(sight.kinds().is_empty());
        sight.lost(shop(), &forbidden());
        sight.keep(&BTreeSet::new());
        assert!(sight.kinds().is_empty());
    }
}
