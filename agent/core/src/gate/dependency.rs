//! An app waits until the apps that it depends on are good at what Git wants. It goes
//! after those that depend on it.

use super::{Hold, HoldReason};
use crate::model::AppName;

/// Holds an app back while another that it depends on is not ready; `unready`
/// is the first of those.
pub fn dependency(unready: Option<&AppName>) -> Option<Hold> {
    let detail = format!("waits for app {} to be good", unready?);
    Some(Hold::of(HoldReason::Dependency, detail))
}

/// Holds an app that left Git while another that left it as well depends on it: what cleans
/// up after its objects may be in this one. `dependent` is the first of those.
pub fn dependent(dependent: Option<&AppName>) -> Option<Hold> {
    let detail = format!("waits until app {} is gone, which depends on it", dependent?);
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

    #[test]
    fn an_app_goes_after_the_one_that_depends_on_it() {
        let hold = dependent(Some(&"shop".to_owned())).unwrap();
        assert_eq!(hold.detail, "waits until app shop is gone, which depends on it");
        assert_eq!(dependent(None), None);
    }
}
