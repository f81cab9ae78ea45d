//! Every binary of a release at rest, at work, and at its first sync of a
//! large repository: on this machine, under an emulator of its processor, and
//! on a virtual board.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result};
use futures::future::try_join_all;
use leeward_core::model::StatusDocument;
use leeward_tests::{
    agent::{Agent, AgentOptions, Footprint},
    controlplane::{ControlPlane, ControlPlaneOptions},
    fleet::{FleetRepo, Layout, cluster_path, monorepo},
    gitserver::{Filters, GitServer, GitServerOptions},
    leash::ScratchDir,
    scenario::is_good_at,
};

use super::{
    CPU_PERCENT, RESIDENT_MIB, SOAKED,
    binaries::{Released, Target, emulator_resident},
    board::{Board, Task},
    cpu_percent, mib, text,
};
use crate::report::{self, Promises};

pub(super) const OBJECTS: usize = 200;
/// And as many as Flux had when it was measured, about.
const MANY_OBJECTS: usize = 1000;
/// An emulated processor's time tells nothing of a real one's, so it rests for this part of the time.
const EMULATED_REST: u32 = 5;
/// Of the 2,000; each run takes another one, so that they do not meet.
const FIRST_CLUSTER: u32 = 42;

/// Where a binary ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Native,
    /// qemu-user; what the emulator alone holds, in bytes.
    Emulator {
        alone: u64,
    },
    /// A virtual board with a kernel of its own.
    Board,
}

/// What one binary took in one place.
pub(super) struct Row {
    pub(super) target: Target,
    pub(super) place: Place,
    pub(super) bytes: u64,
    pub(super) objects: usize,
    /// With so many objects, at the beginning and the end of its rest.
    pub(super) before: Footprint,
    pub(super) after: Footprint,
    pub(super) rest: Duration,
    /// After the first sync of the large repository.
    pub(super) first_sync: Footprint,
}

/// Measures all of them and writes the page.
pub(crate) async fn measure(
    promises: &mut Promises,
    released: &[Released],
    idle: Duration,
    page: &Path,
) -> Result<()> {
    let plane = ControlPlane::start(ControlPlaneOptions::default()).await?;
    let large = Large::start()?;
    let mut rows = Vec::new();
    // What counts comes first, and with no emulator beside it.
    let (native, foreign): (Vec<_>, Vec<_>) =
        released.iter().partition(|one| one.target.emulator().is_none());
    report::doing("this machine's own");
    for one in native {
        let [few, many] = [(OBJECTS, FIRST_CLUSTER), (MANY_OBJECTS, FIRST_CLUSTER + 1)]
            .map(|(objects, cluster)| as_process(&plane, &large, one, objects, cluster, idle));
        let (few, many) = futures::future::try_join(few, many).await?;
        rows.extend([few, many]);
    }
    report::doing("ARM, on emulators and boards");
    let rest = idle / EMULATED_REST;
    let processes = (FIRST_CLUSTER + 10..)
        .zip(&foreign)
        .map(|(cluster, one)| as_process(&plane, &large, one, OBJECTS, cluster, rest));
    rows.extend(try_join_all(processes).await?);
    let boards = (FIRST_CLUSTER + 20..)
        .zip(&foreign)
        .map(|(cluster, one)| on_board(&plane, &large, one, cluster, rest));
    rows.extend(try_join_all(boards).await?);
    judge(promises, &rows);
    std::fs::write(page, text::page(&rows))
        .with_context(|| format!("cannot write {}", page.display()))
}

fn judge(promises: &mut Promises, rows: &[Row]) {
    for row in rows {
        let limit = RESIDENT_MIB.iter().find(|(upto, _)| row.objects <= *upto);
        let title = format!("{}, {:?}, {} objects", row.target.triple(), row.place, row.objects);
        report::title(&title);
        let resident = mib(row.after.resident);
        match (row.place, limit) {
            (Place::Native | Place::Board, Some((_, limit))) => {
                promises.at_most("resident at rest", resident, *limit, "MiB");
            }
            _ => report::figure("resident at rest", &format!("{resident:.2} MiB")),
        }
        if row.place == Place::Native {
            let percent = cpu_percent(row.before, row.after, row.rest);
            promises.at_most("processor at rest", percent, CPU_PERCENT, "%");
        }
    }
}

/// The repository of 2,000 clusters.
struct Large {
    repository: FleetRepo,
    server: GitServer,
    _folder: ScratchDir,
}

impl Large {
    fn start() -> Result<Self> {
        let folder = ScratchDir::new("footprint-large")?;
        let repository = monorepo(folder.path(), "fleet", Layout::Flat)?;
        let server = GitServer::start(folder.path(), GitServerOptions::default())?;
        server.set_filters("fleet.git", Filters::All)?;
        Ok(Self { repository, server, _folder: folder })
    }

    fn head(&self) -> Result<String> {
        self.repository.head()?.context("the repository is empty")
    }
}

/// As a process of this machine, by an emulator where its processor is another one.
async fn as_process(
    plane: &ControlPlane,
    large: &Large,
    released: &Released,
    objects: usize,
    cluster: u32,
    rest: Duration,
) -> Result<Row> {
    let target = released.target;
    let place = match emulator_resident(target).await? {
        Some(alone) => Place::Emulator { alone },
        None => Place::Native,
    };
    let folder = ScratchDir::new("footprint")?;
    let program = released.program(folder.path())?;
    let name = format!("footprint-{}-{objects}", target.short());
    let with = |options: AgentOptions| options.binary(&program);
    let mut scenario = super::prepare(plane, &name, objects, with).await?;
    scenario.agent.start_again()?;
    super::settle(&mut scenario).await?;
    let before = scenario.agent.footprint()?;
    tokio::time::sleep(rest).await;
    let after = scenario.agent.footprint()?;
    // Nothing of it shall be at work beside the next one.
    drop(scenario);

    let name = format!("edge-{cluster:04}");
    let url = large.server.url("fleet.git");
    let options = AgentOptions::new(&name, plane.kubeconfig(), &url)
        .set("source.path", cluster_path(Layout::Flat, cluster));
    let mut agent = Agent::start(with(super::as_installed(options))).await?;
    let head = large.head()?;
    let good = |status: &StatusDocument| status.apps.iter().any(|app| is_good_at(app, &head));
    agent
        .wait_status(SOAKED, good)
        .await
        .with_context(|| format!("{name}, {}", target.triple()))?;
    let first_sync = agent.footprint()?;
    let bytes = released.bytes()?;
    Ok(Row { target, place, bytes, objects, before, after, rest, first_sync })
}

async fn on_board(
    plane: &ControlPlane,
    large: &Large,
    released: &Released,
    cluster: u32,
    rest: Duration,
) -> Result<Row> {
    let target = released.target;
    let architecture = target.board().context("no board has such a processor")?;
    let name = format!("board-{}", target.short());
    let scenario =
        super::prepare(plane, &name, OBJECTS, |options| options.binary(&released.file)).await?;
    let commit = scenario.repository.head()?.context("no commit")?;
    let task = Task {
        cluster: &name,
        port: scenario.server.port(),
        path: &format!("clusters/{name}"),
        kubeconfig: plane.kubeconfig(),
        commit: &commit,
    };
    let mut board = Board::start(architecture, &released.file, &task).await?;
    board.good().await?;
    let before = board.footprint_after(super::SETTLE).await?;
    let started = tokio::time::Instant::now();
    let after = board.footprint_after(rest).await?;
    let rest = started.elapsed();
    drop(board);

    let task = Task {
        cluster: &format!("edge-{cluster:04}"),
        port: large.server.port(),
        path: &cluster_path(Layout::Flat, cluster),
        kubeconfig: plane.kubeconfig(),
        commit: &large.head()?,
    };
    let mut board = Board::start(architecture, &released.file, &task).await?;
    board.good().await?;
    let first_sync = board.footprint().await?;
    let bytes = released.bytes()?;
    let (place, objects) = (Place::Board, OBJECTS);
    Ok(Row { target, place, bytes, objects, before, after, rest, first_sync })
}
