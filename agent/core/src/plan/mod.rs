//! Desired × inventory × live → ordered steps.
//!
//! Everything here is data in, data out: the loop reads the cluster, asks these
//! functions, and carries out what they answer. Nothing here may ever decide to
//! delete an object that is not in the inventory it was given.

pub mod compare;
pub mod desired;
pub mod drift;
pub mod fields;
pub mod fight;
pub mod ignore;
pub mod judges;
pub mod marks;
pub mod normalise;
pub mod order;
pub mod ownership;
pub mod pointer;
pub mod release;
pub mod same;
pub mod scope;
mod secrecy;
pub mod stamp;
pub mod takeover;
mod view;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod recorded;
