//! `leeward takeover`: makes the fields of another manager Git's to decide.

use leeward_wire::control::Request;

use super::{
    Session,
    arguments::TakeoverFlags,
    console::Console,
    exit::{Exit, Failure},
    pause,
};

pub(super) fn run(
    flags: TakeoverFlags,
    session: &Session,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let request = Request::Takeover { app: flags.app, from: flags.from };
    pause::done(&request, session, console)
}
