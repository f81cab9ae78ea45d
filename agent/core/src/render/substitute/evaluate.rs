//! From parts to text.

use std::collections::BTreeSet;

use super::{
    OUTPUT_BYTES_MAX, Problem, Values, WORK_MAX,
    glob::Glob,
    parse::{Expression, Operation, Part},
};

/// What the matching of patterns may still cost.
pub(super) struct Work(usize);

impl Work {
    pub(super) fn spend(&mut self, steps: usize) -> Result<(), Problem> {
        self.0 = self.0.checked_sub(steps).ok_or(Problem::TooMuchWork)?;
        Ok(())
    }
}

/// The text, and the variables that were looked at for it.
pub(super) fn evaluate(
    parts: &[Part],
    values: &Values<'_>,
) -> Result<(String, BTreeSet<String>), Problem> {
    let mut evaluator = Evaluator { values, work: Work(WORK_MAX), used: BTreeSet::new() };
    let mut text = String::new();
    for part in parts {
        let more = evaluator.part(part)?;
        bounded(text.len().saturating_add(more.len()))?;
        text.push_str(&more);
    }
    Ok((text, evaluator.used))
}

fn bounded(bytes: usize) -> Result<(), Problem> {
    if bytes > OUTPUT_BYTES_MAX { Err(Problem::TooLarge) } else { Ok(()) }
}

struct Evaluator<'v> {
    values: &'v Values<'v>,
    work: Work,
    used: BTreeSet<String>,
}

impl<'v> Evaluator<'v> {
    fn get(&mut self, name: &str) -> Option<&'v str> {
        let Values { variables, secrets, .. } = self.values;
        let found = secrets.get(name).or_else(|| variables.get(name));
        if found.is_some() {
            self.used.insert(name.to_owned());
        }
        found
    }

    fn part(&mut self, part: &Part) -> Result<String, Problem> {
        match part {
            Part::Text(text) => Ok(text.clone()),
            Part::Expression(expression) => self.expression(expression),
        }
    }

    fn expression(&mut self, expression: &Expression) -> Result<String, Problem> {
        let Expression { name, operation, arguments } = expression;
        // As in Flux, also what a default refers to must be set, needed or not.
        let read: Result<Vec<String>, Problem> =
            arguments.iter().map(|argument| self.part(argument)).collect();
        let arguments = read?;
        let value = match self.get(name) {
            Some(value) => value,
            None if *operation == Operation::Default => "",
            None => return Err(Problem::not_set(name, self.values)),
        };
        let argument = |index: usize| arguments.get(index).map_or("", String::as_str);
        self.work.spend(1)?;
        let text = match operation {
            Operation::Length => value.len().to_string(),
            Operation::Default if value.is_empty() => {
                bounded(arguments.iter().map(String::len).sum())?;
                arguments.concat()
            }
            Operation::Value | Operation::Default => value.to_owned(),
            Operation::LowerFirst => first(value, lower),
            Operation::Lower => value.chars().map(lower).collect(),
            Operation::UpperFirst => first(value, upper),
            Operation::Upper => value.chars().map(upper).collect(),
            Operation::Slice => {
                slice(name, value, argument(0), arguments.get(1).map(String::as_str))?
            }
            Operation::TrimShortestPrefix => self.trim(value, argument(0), false)?,
            Operation::TrimLongestPrefix => self.trim(value, argument(0), true)?,
            Operation::TrimShortestSuffix => self.trim_end(value, argument(0), false)?,
            Operation::TrimLongestSuffix => self.trim_end(value, argument(0), true)?,
            Operation::ReplaceFirst => value.replacen(argument(0), argument(1), 1),
            Operation::ReplaceAll => {
                let replaced = value.matches(argument(0)).count();
                bounded(replaced.saturating_mul(argument(1).len()))?;
                value.replace(argument(0), argument(1))
            }
            // Without a replacement these two do nothing in Flux.
            Operation::ReplacePrefix | Operation::ReplaceSuffix if arguments.len() < 2 => {
                value.to_owned()
            }
            Operation::ReplacePrefix => value
                .strip_prefix(argument(0))
                .map_or_else(|| value.to_owned(), |rest| format!("{}{rest}", argument(1))),
            Operation::ReplaceSuffix => value
                .strip_suffix(argument(0))
                .map_or_else(|| value.to_owned(), |rest| format!("{rest}{}", argument(1))),
        };
        bounded(text.len())?;
        self.work.spend(text.len())?;
        Ok(text)
    }

    fn trim(&mut self, value: &str, pattern: &str, longest: bool) -> Result<String, Problem> {
        let Some(glob) = Glob::new(pattern) else { return Ok(value.to_owned()) };
        let characters: Vec<char> = value.chars().collect();
        let end = glob.prefix(&characters, longest, &mut self.work)?.unwrap_or(0);
        Ok(characters.into_iter().skip(end).collect())
    }

    /// Both are read from their ends, as Flux does: a pattern with a class is none there.
    fn trim_end(&mut self, value: &str, pattern: &str, longest: bool) -> Result<String, Problem> {
        let reversed = |text: &str| text.chars().rev().collect::<String>();
        let kept = self.trim(&reversed(value), &reversed(pattern), longest)?;
        Ok(reversed(&kept))
    }
}

fn first(text: &str, change: impl Fn(char) -> char) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(change);
    first.into_iter().chain(characters).collect()
}

/// One character for one, as in Go.
fn upper(c: char) -> char {
    let mut upper = c.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(only), None) => only,
        _ => c,
    }
}

fn lower(c: char) -> char {
    c.to_lowercase().next().unwrap_or(c)
}

/// Counts bytes, as Flux does; what is no number leaves the value as it is.
fn slice(name: &str, value: &str, offset: &str, length: Option<&str>) -> Result<String, Problem> {
    let Ok(offset) = offset.parse::<i64>() else { return Ok(value.to_owned()) };
    let size = i64::try_from(value.len()).unwrap_or(i64::MAX);
    let from = if offset < 0 { size.saturating_add(offset).max(0) } else { offset };
    let end = match length {
        None => size,
        Some(length) => {
            let Ok(length) = length.parse::<i64>() else { return Ok(value.to_owned()) };
            from.saturating_add(length).min(size)
        }
    };
    if end >= size && from >= size {
        return Ok(String::new());
    }
    let within = usize::try_from(from).ok().zip(usize::try_from(end).ok());
    within
        .and_then(|(from, end)| value.get(from..end))
        .map(str::to_owned)
        .ok_or_else(|| Problem::BadSlice { name: name.to_owned() })
}
