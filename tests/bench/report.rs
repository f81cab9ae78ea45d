//! What a bench prints: figures beside what is promised of them.

pub(crate) fn title(title: &str) {
    println!("\n## {title}\n");
}

/// A line for whoever waits; not part of the figures.
pub(crate) fn doing(what: &str) {
    leeward_tests::weather::say(&format!("… {what}"));
}

pub(crate) fn note(line: &str) {
    println!("{line}");
}

/// A figure that nothing is promised of.
pub(crate) fn figure(what: &str, figure: &str) {
    println!("{what:<58} {figure:>14}");
}

/// Remembers how many promises did not hold.
#[derive(Debug, Default)]
pub(crate) struct Promises {
    broken: usize,
}

impl Promises {
    /// A figure that is to be at most `bound`, both shown in the same unit.
    pub(crate) fn at_most(&mut self, what: &str, figure: f64, bound: f64, unit: &str) {
        let held = figure <= bound;
        self.broken += usize::from(!held);
        let [figure, bound] = [figure, bound].map(|number| shown(number, unit));
        let verdict = if held { "holds" } else { "DOES NOT HOLD" };
        println!("{what:<58} {figure:>14}   at most {bound}: {verdict}");
    }

    /// How many promises did not hold.
    pub(crate) fn broken(&self) -> usize {
        self.broken
    }
}

/// Whole numbers as they are, others with what matters of their decimals.
fn shown(number: f64, unit: &str) -> String {
    let number =
        if number.fract() == 0.0 { format!("{number:.0}") } else { format!("{number:.2}") };
    format!("{number} {unit}").trim_end().to_owned()
}
