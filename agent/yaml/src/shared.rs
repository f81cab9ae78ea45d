//! Scalars that upstream keeps once and shows in several places.
//!
//! Kustomize puts one YAML node wherever a label or an annotation goes: on the
//! object, into its selector, into its template. What is written to one of
//! these places later, by an overlay or a patch, is in all of them.

use std::collections::BTreeMap;

use super::{Content, Mark, Node, Scalar, Style, Tag};

/// Which of the shared scalars of one object a scalar is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Shared(u32);

const WRITTEN: u32 = 1 << 31;

/// Two texts are the same wherever else they are shown.
impl PartialEq for Shared {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Shared {}

impl Shared {
    /// After something else was written there.
    pub(crate) fn written(self) -> Self {
        if self.0 == 0 { self } else { Self(self.0 | WRITTEN) }
    }
}

impl Node {
    /// A text that is shared by all places that it is put in.
    pub fn shared_text(text: &str, number: u32) -> Self {
        let mut scalar = Scalar::new(text, Style::Plain, Tag::Str);
        scalar.shared = Shared(number & !WRITTEN);
        Self { mark: Mark::default(), flow: false, content: Content::Scalar(scalar) }
    }

    /// Brings what was written to one place of a shared scalar to the others.
    /// Returns the bytes that this copied.
    pub fn spread(&mut self) -> usize {
        let mut written = BTreeMap::new();
        self.each_scalar(&mut |scalar| {
            let Shared(number) = scalar.shared;
            if number & WRITTEN != 0 {
                scalar.shared = Shared(number & !WRITTEN);
                written.insert(number & !WRITTEN, scalar.clone());
            }
        });
        let mut copied = 0;
        if !written.is_empty() {
            self.each_scalar(&mut |scalar| {
                if let Some(new) = written.get(&scalar.shared.0) {
                    scalar.clone_from(new);
                    copied += new.text.len();
                }
            });
        }
        copied
    }

    /// For a place in another object.
    #[must_use]
    pub fn unshared(mut self) -> Self {
        self.each_scalar(&mut |scalar| scalar.shared = Shared::default());
        self
    }
}

impl Scalar {
    /// Notes that this place was written to, so that [`Node::spread`] brings its
    /// text to the others.
    pub fn note_written(&mut self) {
        self.shared = self.shared.written();
    }

    /// Itself without its text, for another to take its place.
    pub fn place(&self) -> Node {
        let scalar = Self { text: String::new(), tag: Tag::Str, ..*self };
        Node { mark: Mark::default(), flow: false, content: Content::Scalar(scalar) }
    }
}
