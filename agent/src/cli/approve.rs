//! `leeward approve`: lets a plan that the prune guard holds go ahead, once.

use leeward_wire::control::Request;

use super::{
    Session,
    arguments::Approval,
    console::Console,
    exit::{Exit, Failure},
    pause,
};

pub(super) fn run(
    chosen: Approval,
    session: &Session,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    pause::done(&Request::Approve { app: chosen.app, yes: chosen.yes }, session, console)
}
