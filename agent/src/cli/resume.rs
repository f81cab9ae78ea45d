//! `leeward resume`: ends a pause.

use leeward_wire::control::Request;

use super::{
    Session,
    arguments::OptionalApp,
    console::Console,
    exit::{Exit, Failure},
    pause,
};

pub(super) fn run(
    chosen: OptionalApp,
    session: &Session,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    pause::done(&Request::Resume { app: chosen.app }, session, console)
}
