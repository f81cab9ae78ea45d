//! `leeward pause`: the cluster is left alone for a while.

use leeward_wire::control::{Request, Response};
use serde_json::json;

use super::{
    Session,
    arguments::PauseFlags,
    client,
    console::Console,
    exit::{Exit, Failure},
    human,
};

pub(super) fn run(
    flags: PauseFlags,
    session: &Session,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let seconds = flags.length.as_secs();
    done(&Request::Pause { app: flags.app, seconds, reason: flags.reason }, session, console)
}

/// Asks for something that is answered with one sentence, and passes it on.
pub(super) fn done(
    request: &Request,
    session: &Session,
    console: &mut Console<'_>,
) -> Result<Exit, Failure> {
    let config = session.config()?;
    let Response::Done { message } = client::ask(&config, request)? else {
        return Err(client::unexpected());
    };
    console
        .answer(&json!({ "message": message }), |_| format!("{}\n", human::one_line(&message)))?;
    Ok(Exit::Done)
}
