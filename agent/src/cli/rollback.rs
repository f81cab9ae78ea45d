//! `leeward rollback`: takes an app back to an earlier good revision, or ends that.

use leeward_wire::control::Request;

use super::{
    Session,
    arguments::RollbackFlags,
    console::Console,
    exit::{Exit, Failure},
    pause,
};

pub(super) fn run(
    flags: RollbackFlags,
    session: &Session,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let RollbackFlags { app, revision, length, release } = flags;
    let request = if release {
        Request::Release { app }
    } else {
        Request::Rollback { app, revision, seconds: length.map(|length| length.as_secs()) }
    };
    pause::done(&request, session, console)
}
