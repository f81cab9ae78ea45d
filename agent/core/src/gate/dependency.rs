//! An app waits until the apps that it depends on are good at what Git wants.

use super::{Hold, HoldReason};
use crate::model::AppName;

/// Holds an app back while another that it depends on is not ready; `unready`
/// is the first of those.
pub fn dependency(unready: Option<&AppName>) -> Option<Hold> {
    let detail = format!("waits for app {} to be good", unready?);
    Some(Hold::of(HoldReason::Dependency, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_waits_for_the_one_that_is_not_ready_and_names_it() {
        let hold = dependency(Some(&"db".to_owned())).unwrap();
        assert_eq!(
            (hold.detail.as_str(), hold.reason.needs_a_person()),
            ("waits for app db to be good", false)
        );
        assert_eq!(dependency(None), None);
    }
}
