//! Lays the functions that `packaging/order/link-order.txt` names side by side in the released
//! binary.
//!
//! The kernel maps a program's pages sixteen at a time, so functions that run
//! and lie scattered among those that do not make most of the program resident.
//! `docs/decisions/0005-link-order.md` has the figures.

use std::{env, fs, path::Path};

/// From the folder of this package, in which cargo runs this program.
const ORDER: &str = "../packaging/order/link-order.txt";
/// `off` for linkers that know no linker scripts, such as mold.
const SWITCH: &str = "LEEWARD_LINK_ORDER";

fn main() {
    println!("cargo:rerun-if-changed={ORDER}");
    println!("cargo:rerun-if-env-changed={SWITCH}");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|found| found == value);
    if !is("PROFILE", "release") || !is("CARGO_CFG_TARGET_OS", "linux") || is(SWITCH, "off") {
        return;
    }
    let folder = env::var("OUT_DIR").expect("cargo names the folder");
    let script = Path::new(&folder).join("link-order.ld");
    let patterns = fs::read_to_string(ORDER).expect("the list is part of the repository");
    fs::write(&script, linker_script(&patterns)).expect("cargo made the folder");
    println!("cargo:rustc-link-arg-bin=leeward=-Wl,-T,{}", script.display());
}

/// GNU ld and LLD: `INSERT` leaves the linker's own script as it is otherwise.
fn linker_script(patterns: &str) -> String {
    let patterns = patterns.lines().filter(|line| !line.starts_with('#'));
    let sections: String =
        patterns.flat_map(|name| ["    *(.text.", name, " .text.unlikely.", name, ")\n"]).collect();
    format!("SECTIONS\n{{\n  .text.ordered :\n  {{\n{sections}  }}\n}}\nINSERT BEFORE .text;\n")
}
