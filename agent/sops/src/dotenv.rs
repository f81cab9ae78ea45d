//! Dotenv files: `KEY=value` on each line, and what SOPS wrote of itself as
//! further lines, its tree folded into their keys.

use leeward_yaml::Mark;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::{
    age::Identities,
    data_key,
    error::Problem,
    format::DOTENV_PREFIX,
    metadata::{Metadata, wrong},
    value::ValueError,
    verify::{Found, Verifier},
};

const IN_MAP: &str = "__map_";
const IN_LIST: &str = "__list_";
/// Items of one list: more than there may be recipients.
const ITEMS_MAX: usize = 200;
/// Levels that the metadata of SOPS never reaches.
const DEPTH_MAX: usize = 10;

pub(crate) fn open(content: &[u8], identities: &Identities) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let text = str::from_utf8(content).map_err(|_| Problem::NotUtf8)?;
    let lines: Vec<Line<'_>> = text.split('\n').enumerate().map(line).collect::<Result<_, _>>()?;
    let mut block = Value::Object(Map::new());
    for line in &lines {
        if let Line::Metadata { key, value } = line {
            place(&mut block, key, value.replace("\\n", "\n"))?;
        }
    }
    let metadata = Metadata::read(&block)?;
    let key = data_key::unwrap(&metadata, identities)?;
    let mut verifier = Verifier::new(&metadata, &key);
    let mut opened = Zeroizing::new(Vec::with_capacity(content.len()));
    for (index, line) in lines.iter().enumerate() {
        if index > 0 {
            opened.push(b'\n');
        }
        match line {
            Line::Other(text) => opened.extend_from_slice(text.as_bytes()),
            // Its line stays, so that those behind it keep their numbers.
            Line::Metadata { .. } => {}
            Line::Variable { key, value } => {
                let whole = value.replace("\\n", "\n");
                let failed = |reason: ValueError| Problem::Value {
                    mark: Mark { line: u32::try_from(index + 1).unwrap_or(u32::MAX), column: 1 },
                    path: (*key).to_owned(),
                    reason,
                };
                let plain = verifier.value(&[key], &Found::Text(&whole)).map_err(failed)?;
                opened.extend_from_slice(key.as_bytes());
                opened.push(b'=');
                match plain {
                    None => opened.extend_from_slice(value.as_bytes()),
                    Some(plain) => {
                        let bytes = plain.counted();
                        let text = str::from_utf8(&bytes);
                        let text = text.map_err(|_| failed(ValueError::NotUtf8))?;
                        let folded = Zeroizing::new(text.replace('\n', "\\n"));
                        opened.extend_from_slice(folded.as_bytes());
                    }
                }
            }
        }
    }
    verifier.finish()?;
    Ok(opened)
}

enum Line<'t> {
    /// Empty, or a comment. Encrypted comments stay so: nobody reads them here.
    Other(&'t str),
    Variable {
        key: &'t str,
        value: &'t str,
    },
    Metadata {
        key: &'t str,
        value: &'t str,
    },
}

fn line((index, text): (usize, &str)) -> Result<Line<'_>, Problem> {
    if text.is_empty() || text.starts_with('#') {
        return Ok(Line::Other(text));
    }
    let (key, value) = text.split_once('=').ok_or(Problem::NotDotenv { line: index + 1 })?;
    Ok(match key.strip_prefix(DOTENV_PREFIX) {
        Some(key) => Line::Metadata { key, value },
        None => Line::Variable { key, value },
    })
}

/// Puts a value where its folded key says: `age__list_0__map_enc`.
fn place(block: &mut Value, key: &str, value: String) -> Result<(), Problem> {
    let damaged = || wrong("a key of it is damaged");
    let mut at = block;
    let mut rest = format!("{IN_MAP}{key}");
    for _ in 0..DEPTH_MAX {
        let is_map = rest.starts_with(IN_MAP);
        let name = rest.strip_prefix(if is_map { IN_MAP } else { IN_LIST }).ok_or_else(damaged)?;
        let end = [IN_MAP, IN_LIST].iter().filter_map(|mark| name.find(mark)).min();
        let (name, after) = name.split_at(end.unwrap_or(name.len()));
        if is_map {
            if at.is_null() {
                *at = json!({});
            }
            at = at.as_object_mut().ok_or_else(damaged)?.entry(name).or_insert(Value::Null);
        } else {
            let index = name.parse::<usize>().ok().filter(|index| *index < ITEMS_MAX);
            let index = index.ok_or_else(damaged)?;
            if at.is_null() {
                *at = json!([]);
            }
            let items = at.as_array_mut().ok_or_else(damaged)?;
            if items.len() <= index {
                items.resize(index + 1, Value::Null);
            }
            at = &mut items[index];
        }
        if after.is_empty() {
            if !at.is_null() {
                return Err(wrong("a key of it stands twice"));
            }
            *at = Value::String(value);
            return Ok(());
        }
        rest = after.to_owned();
    }
    Err(damaged())
}
