//! The agent's process as the other tests handle it.

use std::{path::Path, time::Duration};

use leeward_tests::agent::{Agent, AgentOptions};

#[tokio::test]
async fn agent_that_ends_by_itself_ends_the_wait_for_its_status() {
    let options = AgentOptions::new("edge", Path::new("/nowhere"), "http://127.0.0.1:1/fleet.git")
        .set("cluster.nmae", "an unknown key, which ends the agent at once");
    let mut agent = Agent::start(options).await.unwrap();
    let error = agent.wait_status(Duration::from_mins(1), |_| false).await.unwrap_err();
    assert!(error.to_string().starts_with("the agent has ended"), "{error:#}");
}
