//! Leeward against the real thing: a real control plane, real git servers, a
//! link that really breaks.
//!
//! Every part is a value that cleans up when it is dropped; what a killed test
//! process leaves behind, [`leash`] cleans up. Servers run on a runtime of
//! their own, so a test may block, pause its clock, or use any runtime.
//! Nothing here is ever linked into the agent.

pub mod agent;
pub mod cache;
pub mod controlplane;
pub mod faultproxy;
pub mod fleet;
pub mod gitserver;
pub mod installed;
pub mod kustomize;
pub mod leash;
pub mod preload;
pub mod receiver;
pub mod scenario;
pub mod tls;
pub mod weather;
pub mod webhook;

mod background;
mod gotool;
mod http;
mod ports;
pub mod progress;
pub mod seed;

pub use seed::Seed;
