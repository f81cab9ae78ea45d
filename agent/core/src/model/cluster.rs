//! What the shell says of the cluster: what it saw, and why something was refused.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{
    AppName,
    id::Digest,
    object::{Kind, ObjectKey},
    run::{Run, Trace},
};

/// A kind in one version: what it takes to talk to the API server about it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct KindVersion {
    pub kind: Kind,
    /// The version alone, `v1` of `apps/v1`.
    pub version: String,
}

/// Why the API server did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClusterFault {
    /// There was no answer at all: no connection, a failed TLS handshake, a
    /// timeout, or an answer that was cut off.
    #[error("the API server cannot be reached: {message}")]
    Unreachable { message: String },
    /// The API server answered that it cannot do it now: it is overloaded
    /// (429), starting, or has trouble of its own or with etcd (5xx).
    #[error("the API server cannot do it now: {message}")]
    Unavailable { message: String },
    /// The API server asked one webhook, for admission or for conversion, and
    /// got no usable answer. Objects that this webhook has no part in are fine.
    #[error("the webhook {name} cannot be called: {message}")]
    Webhook { name: String, message: String },
    /// One object, or one API group behind an aggregated API server, is not in
    /// the state that is waited for. The message names it: `Namespace shop is
    /// not ready: …`.
    #[error("{message}")]
    NotReady { message: String },
    /// An answer came and is of no use: it is not JSON, or it is too large.
    #[error("the answer of the API server cannot be read: {message}")]
    Unreadable { message: String },
    /// 401 or 403: our credentials or our role.
    #[error("the API server does not permit it: {message}")]
    Forbidden { message: String },
    /// The API server serves no such kind in that version.
    #[error("the API server does not know the kind {} in version {}", .0.kind, .0.version)]
    UnknownKind(KindVersion),
    /// The object, or the namespace that it is to live in, is not there.
    #[error("{message}")]
    NotFound { message: String },
    /// A precondition (uid, resource version) did not hold.
    #[error("{message}")]
    Conflict { message: String },
    /// A field that cannot be changed after creation was changed.
    #[error("{message}")]
    Immutable { message: String },
    /// Any other 4xx: the manifest is at fault (validation, admission, quota).
    #[error("{message}")]
    Invalid { message: String },
}

impl ClusterFault {
    /// Whether the same request can succeed later without anyone changing the
    /// manifest. Such a fault counts against no revision.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Unavailable { .. }
            | Self::Webhook { .. }
            | Self::NotReady { .. }
            | Self::Unreadable { .. }
            | Self::Conflict { .. } => true,
            Self::Forbidden { .. }
            | Self::UnknownKind(_)
            | Self::NotFound { .. }
            | Self::Immutable { .. }
            | Self::Invalid { .. } => false,
        }
    }

    /// Whether the API server as a whole is in trouble, so that any other
    /// request would fail as well. Only such a fault is shown as the blocker
    /// `api_server`.
    pub fn is_api_server(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Unavailable { .. })
    }
}

/// The API server's answer to an apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    pub uid: String,
    /// Of the fields that our manager owns now; see `owned_digest`.
    pub fields: Digest,
    /// The object did not exist before.
    pub created: bool,
    /// Our second manager owns something in it: fields that were handed over once.
    pub handed_over: bool,
    /// Its annotations ask us not to write it.
    pub left_alone: bool,
    /// What the API server counts writes with; `None` where it is no number.
    pub version: Option<u64>,
}

/// One thing that a watch saw. Only objects that carry our owner label are watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    Present(Sighting),
    Gone {
        key: ObjectKey,
        /// The uid of the object that went, when the watch showed it.
        uid: Option<String>,
        trace: Trace,
    },
    /// A first or renewed list of a kind is complete: what is not in it does not exist.
    Listed {
        kind: Kind,
        keys: BTreeSet<ObjectKey>,
        /// The count of writes that the list is of; `None` where it is no number.
        version: Option<u64>,
    },
    /// The watch of a kind broke or was refused; what we know of it may be stale.
    Lost {
        kind: Kind,
        fault: ClusterFault,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    pub key: ObjectKey,
    pub uid: String,
    /// The value of our owner label.
    pub app: AppName,
    /// Of the fields that our manager owns; `None` when it owns none any more.
    pub fields: Option<Digest>,
    /// A tool that applies manifests (kubectl, Helm, …) owns fields of ours as well.
    pub shared: bool,
    /// It carries a deletion timestamp.
    pub deleting: bool,
    /// Its annotations ask us not to write it.
    pub left_alone: bool,
}

/// What we know of one object that an app owns, or may own, in the cluster.
///
/// Written before the object is first created, so that nothing that we made
/// can be orphaned; removed only after its deletion is confirmed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct InventoryEntry {
    pub version: String,
    /// The digest of the manifest that was last applied; `None` until the first
    /// apply is confirmed, and again while a change of it is under way.
    pub applied: Option<Digest>,
    /// The fields that our manager owned right after that.
    pub fields: Option<Digest>,
    pub uid: Option<String>,
    pub wave: i32,
    /// The manifest asked never to be pruned.
    pub keep: bool,
    /// The manifest allowed the object to be deleted and made anew.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replace: bool,
    /// How far the object with this uid has come, if it is one that runs once to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
    /// The revision that is applied, or was last, does not declare it: it is to go, and says
    /// nothing about how well that revision is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub leaving: bool,
    /// The app that left the object to this one, until a revision with it is good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<AppName>,
}
