//! `leeward retry`: tries the newest revision of an app again, though it was bad.

use leeward_wire::control::Request;

use super::{
    Session,
    arguments::RequiredApp,
    console::Console,
    exit::{Exit, Failure},
    pause,
};

pub(super) fn run(
    chosen: RequiredApp,
    session: &Session,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    pause::done(&Request::Retry { app: chosen.app }, session, console)
}
