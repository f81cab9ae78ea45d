//! What a new configuration may not change while the process runs.

use crate::config::Config;

/// Why `new` cannot take the place of `old`; `None` when it can.
pub(super) fn refusal(old: &Config, new: &Config) -> Option<String> {
    if old.store.path != new.store.path {
        return Some(format!(
            "`store.path` is {} and stays so until the agent is restarted, because what it knows \
             is there; {} was asked for",
            old.store.path, new.store.path
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sources, load};

    fn config(store: &str, interval: &str) -> Config {
        let text = format!(
            "[cluster]\nname = \"edge\"\n[source]\nurl = \"https://git.example.com/fleet.git\"\n\
             path = \"a\"\ninterval = \"{interval}\"\n[store]\npath = \"{store}\"\n"
        );
        load(&Sources { text: Some(text), ..Sources::default() }).unwrap().config
    }

    #[test]
    fn a_store_elsewhere_needs_a_restart_and_the_refusal_names_both() {
        let why = refusal(&config("/var/lib/leeward", "30s"), &config("/mnt/leeward", "30s"));
        insta::assert_snapshot!(why.unwrap(), @"`store.path` is /var/lib/leeward and stays so until the agent is restarted, because what it knows is there; /mnt/leeward was asked for");
    }

    #[test]
    fn anything_else_may_change() {
        assert_eq!(refusal(&config("/s", "30s"), &config("/s", "1m")), None);
    }
}
