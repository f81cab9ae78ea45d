//! Faults as they are found, bounded.

use leeward_yaml::Mark;

use super::{FileError, RenderError};
use crate::model::ObjectFault;

/// Characters of one text of a fault. A manifest can hold names of megabytes,
/// which must not get into logs and reports.
const TEXT_MAX: usize = 500;

/// Where a fault is: a file as people call it, and a position in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'f> {
    pub(crate) file: &'f str,
    pub(crate) mark: Mark,
}

impl std::fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file, self.mark)
    }
}

#[derive(Debug)]
pub(crate) struct Faults {
    list: Vec<ObjectFault>,
    limit: usize,
    /// How many did not fit into the list.
    more: usize,
    missing: bool,
}

impl Faults {
    pub(crate) fn new(limit: usize) -> Self {
        Self { list: Vec::new(), limit, more: 0, missing: false }
    }

    pub(crate) fn push(&mut self, mut fault: ObjectFault) {
        if self.list.len() < self.limit {
            let texts = [fault.object.as_mut(), fault.origin.as_mut(), Some(&mut fault.message)];
            texts.into_iter().flatten().for_each(shorten);
            self.list.push(fault);
        } else {
            self.more += 1;
        }
    }

    pub(crate) fn at(&mut self, place: Place<'_>, message: impl Into<String>) {
        self.push(ObjectFault {
            object: None,
            origin: Some(place.to_string()),
            message: message.into(),
        });
    }

    /// About a whole file or folder.
    pub(crate) fn file(&mut self, file: &str, message: impl Into<String>) {
        let origin = (!file.is_empty()).then(|| file.to_owned());
        self.push(ObjectFault { object: None, origin, message: message.into() });
    }

    /// Whether a fetch may bring what was not there.
    pub(crate) fn missing(&mut self, missing: bool) {
        self.missing |= missing;
    }

    pub(crate) fn unreadable(&mut self, shown: &str, error: &FileError) {
        self.missing |= error.missing;
        self.file(shown, format!("cannot be read: {}", error.message));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty() && self.more == 0
    }

    /// `value`, unless a fault was found.
    pub(crate) fn or<T>(mut self, value: T) -> Result<T, RenderError> {
        if self.is_empty() {
            return Ok(value);
        }
        if self.more > 0 {
            self.list.push(ObjectFault {
                object: None,
                origin: None,
                message: format!("{} more faults are not listed", self.more),
            });
        }
        Err(RenderError { faults: self.list, missing: self.missing })
    }
}

fn shorten(text: &mut String) {
    if let Some((end, _)) = text.char_indices().nth(TEXT_MAX) {
        text.truncate(end);
        text.push('…');
    }
}

/// One line: the first fault, and how many there are beside it.
pub(crate) fn summary(faults: &[ObjectFault]) -> String {
    match faults {
        [] => "no fault is listed".to_owned(),
        [only] => only.to_string(),
        [first, rest @ ..] => format!("{first} (and {} more)", rest.len()),
    }
}
