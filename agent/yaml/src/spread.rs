//! Bringing what was written to one place of a shared scalar to the others.

use std::collections::BTreeMap;

use crate::{
    node::{Content, Mark, Node, Scalar, Style, Tag},
    shared::Shared,
};

impl Node {
    /// A text that is shared by all places that it is put in.
    pub fn shared_text(text: &str, number: u32) -> Self {
        let mut scalar = Scalar::new(text, Style::Plain, Tag::Str);
        scalar.shared = Shared::of(number);
        Self { mark: Mark::default(), flow: false, content: Content::Scalar(scalar) }
    }

    /// Brings what was written to one place of a shared scalar to the others.
    /// Returns the bytes that this copied.
    pub fn spread(&mut self) -> usize {
        let mut written = BTreeMap::new();
        self.each_scalar(&mut |scalar| {
            if scalar.shared.is_written() {
                scalar.shared = Shared::of(scalar.shared.number());
                written.insert(scalar.shared.number(), scalar.clone());
            }
        });
        let mut copied = 0;
        if !written.is_empty() {
            self.each_scalar(&mut |scalar| {
                if let Some(new) = written.get(&scalar.shared.number()) {
                    scalar.clone_from(new);
                    copied += new.text.len();
                }
            });
        }
        copied
    }

    /// Makes every scalar independent of the places that it was shared with, for a
    /// different object.
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

    /// Returns a copy without text. A value that is set there keeps the quotes of this one,
    /// and the places that it is shared with.
    pub fn place(&self) -> Node {
        let scalar = Self { text: String::new(), tag: Tag::Str, ..*self };
        Node { mark: Mark::default(), flow: false, content: Content::Scalar(scalar) }
    }
}
