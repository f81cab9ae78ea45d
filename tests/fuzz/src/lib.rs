//! What must hold of hostile input, whatever it is.
//!
//! One function a target. Each takes the bytes that a fuzzer made up and
//! asserts what is true of all of them: not only that nothing panics, but that
//! what is written reads back the same, that a reference model agrees, that a
//! file that was tampered with is refused. libFuzzer calls them through
//! `libfuzzer/`, `cargo test` with the inputs in `corpus/` and `regressions/`.

mod dice;
mod folder;
mod kustomization;
mod patches;
mod sops;
mod substitution;
mod yaml;

pub use kustomization::kustomization;
pub use patches::patches;
pub use sops::sops;
pub use substitution::substitution;
pub use yaml::yaml;

/// A claim about any bytes.
pub type Target = fn(&[u8]);

/// All of them, by the names of their folders.
pub const TARGETS: [(&str, Target); 5] = [
    ("yaml", yaml),
    ("kustomization", kustomization),
    ("patches", patches),
    ("substitution", substitution),
    ("sops", sops),
];
