//! Patterns of `${x#p}` and `${x%p}`: `*`, `?`, `[a-z]`, `[^a-z]`, `\c`; `*` crosses `/`.

use super::{Problem, evaluate::Work};

enum Piece {
    Any,
    One,
    Literal(char),
    Class { negated: bool, ranges: Vec<(char, char)> },
}

impl Piece {
    fn matches(&self, c: char) -> bool {
        match self {
            Self::Any | Self::One => true,
            Self::Literal(literal) => *literal == c,
            Self::Class { negated, ranges } => {
                ranges.iter().any(|(from, to)| (*from..=*to).contains(&c)) != *negated
            }
        }
    }
}

/// A pattern that is well formed.
pub(super) struct Glob(Vec<Piece>);

impl Glob {
    /// `None` for what matches nothing because it is malformed.
    pub(super) fn new(pattern: &str) -> Option<Self> {
        let mut pieces = Vec::new();
        let mut characters = pattern.chars();
        while let Some(c) = characters.next() {
            pieces.push(match c {
                '*' => Piece::Any,
                '?' => Piece::One,
                '\\' => Piece::Literal(characters.next()?),
                '[' => class(&mut characters)?,
                c => Piece::Literal(c),
            });
        }
        Some(Self(pieces))
    }

    /// How many characters of the text the longest match from its beginning
    /// has, or the shortest; never none.
    pub(super) fn prefix(
        &self,
        text: &[char],
        longest: bool,
        work: &mut Work,
    ) -> Result<Option<usize>, Problem> {
        // reached[i]: the pieces so far match the first i characters.
        let mut reached = vec![false; text.len() + 1];
        reached[0] = true;
        for piece in &self.0 {
            work.spend(text.len() + 1)?;
            if matches!(piece, Piece::Any) {
                if let Some(first) = reached.iter().position(|at| *at) {
                    reached[first..].fill(true);
                }
            } else {
                for index in (0..text.len()).rev() {
                    reached[index + 1] = reached[index] && piece.matches(text[index]);
                }
                reached[0] = false;
            }
        }
        let mut ends = (1..=text.len()).filter(|end| reached[*end]);
        Ok(if longest { ends.next_back() } else { ends.next() })
    }
}

/// Reads from behind `[` to behind `]`.
fn class(characters: &mut std::str::Chars<'_>) -> Option<Piece> {
    let negated = characters.as_str().starts_with('^');
    if negated {
        characters.next();
    }
    let mut ranges = Vec::new();
    loop {
        if !ranges.is_empty() && characters.as_str().starts_with(']') {
            characters.next();
            return Some(Piece::Class { negated, ranges });
        }
        let from = class_character(characters)?;
        let to = if characters.as_str().starts_with('-') {
            characters.next();
            class_character(characters)?
        } else {
            from
        };
        ranges.push((from, to));
    }
}

fn class_character(characters: &mut std::str::Chars<'_>) -> Option<char> {
    match characters.next()? {
        '-' | ']' => None,
        '\\' => characters.next(),
        c => Some(c),
    }
}
