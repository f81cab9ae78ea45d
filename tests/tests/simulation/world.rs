//! The state of the world outside the agent, and the dice.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    future::pending,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use leeward_core::model::{AppName, GitId, KindVersion, ObjectKey, Seen, StatusDocument};
use leeward_core::report::Entry;
use leeward_wire::control::{Request, Response};
use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    time::Instant,
};

use super::{claims::Claims, git::Git, live::LiveObject, sabotage::Sabotage};

/// SplitMix64: small, and the same everywhere.
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    pub(crate) fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }
}

/// How likely each kind of trouble is now, in percent of the calls.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weather {
    pub(crate) api_down: bool,
    pub(crate) link_down: bool,
    /// The API server answers 500 and did nothing.
    pub(crate) api_fails: u64,
    /// The API server did it, and the answer is lost.
    pub(crate) api_lies: u64,
    /// No answer for ten seconds, then none.
    pub(crate) api_hangs: u64,
    /// It is done after up to nine seconds, when its app may have moved on.
    pub(crate) api_late: u64,
    /// A write takes up to four seconds.
    pub(crate) disk_slow: u64,
    pub(crate) link_fails: u64,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) dice: Dice,
    pub(crate) started: Instant,
    pub(crate) weather: Weather,
    /// Every request about the objects in the namespace of this slot hangs.
    pub(crate) hanging: Option<String>,
    pub(crate) status: Option<watch::Receiver<Option<Arc<StatusDocument>>>>,
    pub(crate) git: Git,
    pub(crate) objects: BTreeMap<ObjectKey, LiveObject>,
    pub(crate) watched: BTreeSet<KindVersion>,
    pub(crate) sightings: Option<mpsc::Sender<Seen>>,
    pub(crate) requests: Option<mpsc::Sender<(Request, oneshot::Sender<Response>)>>,
    pub(crate) uids: u64,
    /// Counts what the API server wrote.
    pub(crate) writes: u64,
    /// Awaits that were passed since the last start, and the one at which the power is cut.
    pub(crate) awaits: u64,
    pub(crate) cut_at: Option<u64>,
    /// The Job of each slot that has one: its seconds to the end, and after it.
    pub(crate) jobs: BTreeMap<&'static str, Option<(u64, u64)>>,
    /// When the image of each name is there.
    pub(crate) images: BTreeMap<String, Instant>,
    pub(crate) claims: Claims,
    /// Trees of apps that the agent durably knows to be bad.
    pub(crate) known_bad: BTreeSet<(AppName, GitId)>,
    /// Distinct reports in order of arrival.
    pub(crate) reports: Vec<Entry>,
    pub(crate) violations: Vec<String>,
    pub(crate) story: Vec<String>,
    pub(crate) tell: bool,
}

/// A handle on the world; clones see the same one.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    pub(crate) world: Rc<RefCell<World>>,
    pub(crate) power_cut: Rc<Notify>,
    /// A request begins to hang.
    pub(crate) hangs: Rc<Notify>,
}

impl Handle {
    pub(crate) fn new(seed: u64, sabotage: Sabotage, tell: bool) -> Self {
        let world = World {
            dice: Dice::new(seed),
            started: Instant::now(),
            weather: Weather::default(),
            hanging: None,
            status: None,
            git: Git::new(sabotage),
            objects: BTreeMap::new(),
            watched: BTreeSet::new(),
            sightings: None,
            requests: None,
            uids: 0,
            writes: 0,
            awaits: 0,
            cut_at: None,
            jobs: BTreeMap::new(),
            images: BTreeMap::new(),
            claims: Claims::default(),
            known_bad: BTreeSet::new(),
            reports: Vec::new(),
            violations: Vec::new(),
            story: Vec::new(),
            tell,
        };
        Self {
            world: Rc::new(RefCell::new(world)),
            power_cut: Rc::new(Notify::new()),
            hangs: Rc::new(Notify::new()),
        }
    }

    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        act(&mut self.world.borrow_mut())
    }

    /// Every await of the agent passes here: it takes a moment, and the power
    /// may be cut at it.
    pub(crate) async fn point(&self) {
        let (cut, moment) = self.with(|world| {
            world.awaits += 1;
            (world.cut_at == Some(world.awaits), world.dice.below(20))
        });
        if cut {
            self.with(|world| {
                world.cut_at = None;
                world.note("the power is cut");
            });
            self.power_cut.notify_one();
            pending::<()>().await;
        }
        tokio::time::sleep(Duration::from_millis(moment)).await;
    }
}

impl World {
    pub(crate) fn note(&mut self, what: &str) {
        let at = self.started.elapsed();
        let line = format!("{:9.3} {what}", at.as_secs_f64());
        if self.tell {
            #[expect(clippy::print_stderr, reason = "the story of one seed, told on request")]
            {
                eprintln!("{line}");
            }
        }
        if self.story.len() < 2_000 {
            self.story.push(line);
        }
    }

    pub(crate) fn violate(&mut self, what: String) {
        self.note(&format!("VIOLATION: {what}"));
        self.violations.push(what);
    }

    pub(crate) fn uid(&mut self) -> String {
        self.uids += 1;
        format!("uid-{}", self.uids)
    }

    /// Tells the watches; a full channel never happens, its bound is far above what a seed does.
    pub(crate) fn send(&mut self, seen: Seen) {
        if let Some(sightings) = &self.sightings
            && sightings.try_send(seen).is_err()
        {
            self.sightings = None;
        }
    }
}
