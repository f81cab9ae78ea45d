//! From text to parts: what is copied, and what stands for a value.
//!
//! Reads what Flux reads, also where a shell would not: `${x-d}` is refused,
//! a default knows no escapes, a pattern ends at the next unescaped `/`.

use super::{EXPRESSIONS_MAX, NESTING_MAX, Problem};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Text(String),
    Expression(Expression),
}

/// `${name…}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Expression {
    pub(super) name: String,
    pub(super) operation: Operation,
    pub(super) arguments: Vec<Part>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// `${x}`, and `${x,^}`, which is nothing else.
    Value,
    /// `${#x}`
    Length,
    /// `${x=d}`, `${x:=d}`, `${x:-d}`; also `${x:+d}` and `${x:?d}`, which Flux treats alike.
    Default,
    /// `${x,}`
    LowerFirst,
    /// `${x,,}`
    Lower,
    /// `${x^}`
    UpperFirst,
    /// `${x^^}`
    Upper,
    /// `${x:offset}`, `${x:offset:length}`
    Slice,
    /// `${x#p}`
    TrimShortestPrefix,
    /// `${x##p}`
    TrimLongestPrefix,
    /// `${x%p}`
    TrimShortestSuffix,
    /// `${x%%p}`
    TrimLongestSuffix,
    /// `${x/a/b}`
    ReplaceFirst,
    /// `${x//a/b}`
    ReplaceAll,
    /// `${x/#a/b}`
    ReplacePrefix,
    /// `${x/%a/b}`
    ReplaceSuffix,
}

pub(super) fn parse(text: &str) -> Result<Vec<Part>, Problem> {
    let mut parser = Parser { text, at: 0, expressions: 0 };
    let mut parts = Vec::new();
    while parser.at < text.len() {
        if parser.opens() {
            parts.push(Part::Expression(parser.expression(1)?));
        } else {
            parts.push(Part::Text(parser.take(Escapes::Dollar, |_| true)));
        }
    }
    Ok(parts)
}

/// What stands for one character that would mean something otherwise.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Escapes {
    None,
    /// `$$`
    Dollar,
    /// `$$`, `\/` and `\\`
    All,
}

struct Parser<'t> {
    text: &'t str,
    /// In bytes, always between two characters.
    at: usize,
    expressions: usize,
}

impl Parser<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn opens(&self) -> bool {
        self.rest().starts_with("${")
    }

    /// Takes what follows as long as it is accepted and opens no expression.
    fn take(&mut self, escapes: Escapes, accept: impl Fn(char) -> bool) -> String {
        let mut taken = String::new();
        while let Some(c) = self.peek() {
            if self.opens() {
                break;
            }
            let escaped = match (c, self.rest().as_bytes().get(1)) {
                ('$', Some(b'$')) if escapes != Escapes::None => Some('$'),
                ('\\', Some(b'/')) if escapes == Escapes::All => Some('/'),
                ('\\', Some(b'\\')) if escapes == Escapes::All => Some('\\'),
                _ => None,
            };
            if let Some(c) = escaped {
                taken.push(c);
                self.at += 2;
            } else if accept(c) {
                taken.push(c);
                self.at += c.len_utf8();
            } else {
                break;
            }
        }
        taken
    }

    /// Takes up to `most` bytes that are one of `allowed`.
    fn operator(&mut self, allowed: &[u8], most: usize) -> &str {
        let from = self.at;
        let bytes = self.rest().bytes().take(most).take_while(|byte| allowed.contains(byte));
        self.at += bytes.count();
        &self.text[from..self.at]
    }

    fn name(&mut self) -> String {
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        let end = self.rest().find(|c| !is_part(c)).unwrap_or(self.rest().len());
        let name = self.rest()[..end].to_owned();
        self.at += end;
        name
    }

    fn malformed(&self, name: &str, from: usize, what: &'static str) -> Problem {
        let line = self.text[..from].matches('\n').count() + 1;
        Problem::Malformed { name: name.to_owned(), line, what }
    }

    /// Reads from `${` to behind the brace that closes it.
    fn expression(&mut self, depth: usize) -> Result<Expression, Problem> {
        self.expressions += 1;
        if self.expressions > EXPRESSIONS_MAX {
            return Err(Problem::TooManyExpressions);
        }
        if depth > NESTING_MAX {
            return Err(Problem::TooDeep);
        }
        let from = self.at;
        self.at += "${".len();
        let is_length = self.peek() == Some('#');
        self.at += usize::from(is_length);
        let name = self.name();
        if name.is_empty() {
            return Err(self.malformed("", from, "the name of a variable is missing"));
        }
        let (operation, arguments) = if is_length {
            (Operation::Length, Vec::new())
        } else {
            self.operation(depth).map_err(|broken| match broken {
                Broken::Here(what) => self.malformed(&name, from, what),
                Broken::Within(problem) => problem,
            })?
        };
        if self.peek() != Some('}') {
            let what = match self.peek() {
                Some('-' | '+' | '?') if arguments.is_empty() => {
                    "a default is written with a colon, `${name:-default}`"
                }
                _ => "the closing brace is missing",
            };
            return Err(self.malformed(&name, from, what));
        }
        self.at += 1;
        Ok(Expression { name, operation, arguments })
    }

    fn operation(&mut self, depth: usize) -> Result<(Operation, Vec<Part>), Broken> {
        match self.peek() {
            Some(':') => match self.rest().as_bytes().get(1) {
                Some(b'=' | b'-' | b'?' | b'+') => self.default(2, depth),
                _ => self.slice(depth),
            },
            Some('=') => self.default(1, depth),
            Some(',' | '^') => Ok((self.casing(), Vec::new())),
            Some('/') => self.replacement(depth),
            Some('#' | '%') => self.trim(depth),
            _ => Ok((Operation::Value, Vec::new())),
        }
    }

    fn default(&mut self, width: usize, depth: usize) -> Result<(Operation, Vec<Part>), Broken> {
        self.at += width;
        let mut arguments = Vec::new();
        while self.peek() != Some('}') {
            arguments.push(self.argument(depth, Escapes::None, |c| c != '}')?);
        }
        Ok((Operation::Default, arguments))
    }

    fn slice(&mut self, depth: usize) -> Result<(Operation, Vec<Part>), Broken> {
        self.at += 1;
        if self.peek().is_some_and(|c| !c.is_ascii()) {
            return Err(Broken::Here("an offset is a number"));
        }
        let mut arguments = vec![self.argument(depth, Escapes::None, |c| !matches!(c, ':' | '}'))?];
        if !self.operator(b":", usize::MAX).is_empty() {
            arguments.push(self.argument(depth, Escapes::None, |c| c != '}')?);
        }
        Ok((Operation::Slice, arguments))
    }

    fn casing(&mut self) -> Operation {
        match self.operator(b",^", 2) {
            "," => Operation::LowerFirst,
            ",," => Operation::Lower,
            "^" => Operation::UpperFirst,
            "^^" => Operation::Upper,
            _ => Operation::Value,
        }
    }

    fn trim(&mut self, depth: usize) -> Result<(Operation, Vec<Part>), Broken> {
        let sign: &[u8] = if self.peek() == Some('#') { b"#" } else { b"%" };
        let operation = match self.operator(sign, 2) {
            "#" => Operation::TrimShortestPrefix,
            "##" => Operation::TrimLongestPrefix,
            "%" => Operation::TrimShortestSuffix,
            _ => Operation::TrimLongestSuffix,
        };
        Ok((operation, vec![self.argument(depth, Escapes::None, |c| c != '}')?]))
    }

    fn replacement(&mut self, depth: usize) -> Result<(Operation, Vec<Part>), Broken> {
        self.at += 1;
        let operation = match self.operator(b"/#%", 1) {
            "/" => Operation::ReplaceAll,
            "#" => Operation::ReplacePrefix,
            "%" => Operation::ReplaceSuffix,
            _ => Operation::ReplaceFirst,
        };
        let mut arguments = vec![self.argument(depth, Escapes::All, |c| c != '/')?];
        if self.operator(b"/", usize::MAX).is_empty() {
            return Err(Broken::Here("a pattern ends with `/`, `${name/pattern/replacement}`"));
        }
        if self.peek() != Some('}') {
            arguments.push(self.argument(depth, Escapes::All, |c| c != '}')?);
        }
        Ok((operation, arguments))
    }

    /// One expression, or a text that is not empty.
    fn argument(
        &mut self,
        depth: usize,
        escapes: Escapes,
        accept: impl Fn(char) -> bool,
    ) -> Result<Part, Broken> {
        if self.opens() {
            return self.expression(depth + 1).map(Part::Expression).map_err(Broken::Within);
        }
        let from = self.at;
        let text = self.take(escapes, accept);
        if self.at == from {
            return Err(Broken::Here("something is missing behind the operator"));
        }
        Ok(Part::Text(text))
    }
}

/// What ended the reading of an expression.
enum Broken {
    Here(&'static str),
    /// In an expression inside of it.
    Within(Problem),
}
