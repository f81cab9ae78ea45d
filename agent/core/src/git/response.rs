//! Answers of protocol v2: the list of refs, and the sections around a pack.

use super::pktline::{Packet, PktLineError, packets, parse_length};
use crate::model::GitId;

/// How much of a server's complaint is kept, bytes.
const MAX_COMPLAINT: usize = 500;
/// The longest line outside of the pack that has a meaning to us, bytes; an id and a few words.
const MAX_SECTION_LINE: usize = 1_024;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    /// The server's own words.
    #[error("the server refuses: {0}")]
    Refused(String),
    #[error("the answer is malformed")]
    Line(#[from] PktLineError),
    #[error("the answer is cut short")]
    Truncated,
    #[error("the answer holds `{0}` where a ref was expected")]
    Ref(String),
    #[error("the answer has an unknown section `{0}`")]
    Section(String),
    #[error("the answer has a packet of unknown band {0}")]
    Band(u8),
}

/// One line of an answer to `ls-refs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefLine {
    pub name: String,
    pub id: GitId,
    /// The object that the annotated tag at `id` points at in the end.
    pub peeled: Option<GitId>,
}

impl RefLine {
    /// The commit to fetch.
    pub fn target(&self) -> GitId {
        self.peeled.unwrap_or(self.id)
    }
}

/// Reads the whole answer to `ls-refs`.
pub fn parse_refs(body: &[u8]) -> Result<Vec<RefLine>, ResponseError> {
    let mut refs = Vec::new();
    for packet in packets(body) {
        match packet? {
            Packet::Flush => return Ok(refs),
            Packet::Delimiter | Packet::ResponseEnd => {}
            Packet::Line(line) => {
                let line = String::from_utf8_lossy(line);
                if let Some(message) = line.strip_prefix("ERR ") {
                    return Err(refused(message.as_bytes()));
                }
                refs.push(parse_ref(&line).ok_or_else(|| {
                    ResponseError::Ref(line.chars().take(80).flat_map(char::escape_debug).collect())
                })?);
            }
        }
    }
    Err(ResponseError::Truncated)
}

fn parse_ref(line: &str) -> Option<RefLine> {
    let mut words = line.split(' ');
    let id = words.next()?.parse().ok()?;
    let name = words.next().filter(|name| !name.is_empty())?.to_owned();
    let peeled =
        words.find_map(|word| word.strip_prefix("peeled:")).map(str::parse).transpose().ok()?;
    Some(RefLine { name, id, peeled })
}

fn refused(message: &[u8]) -> ResponseError {
    let text = String::from_utf8_lossy(&message[..message.len().min(MAX_COMPLAINT)]);
    let words: Vec<&str> = text.split_whitespace().collect();
    ResponseError::Refused(words.join(" "))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Section {
    /// The next line names a section.
    Heading,
    /// Lines that we have no use for: acknowledgments, shallow commits.
    Lines,
    Pack,
}

#[derive(Clone, Copy)]
enum Band {
    Pack,
    Progress,
    Fatal,
}

enum State {
    Length { digits: [u8; 4], have: usize },
    Line { left: usize },
    Band { left: usize },
    Data { band: Band, left: usize },
    Ended,
}

const START: State = State::Length { digits: [0; 4], have: 0 };

/// Takes the bytes of an answer to `fetch` in any pieces, gives those of the
/// pack at once: a line of 65 KB that is cut in its middle loses nothing.
pub struct ResponseDecoder {
    section: Section,
    state: State,
    line: Vec<u8>,
}

impl std::fmt::Debug for ResponseDecoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseDecoder").finish_non_exhaustive()
    }
}

impl Default for ResponseDecoder {
    fn default() -> Self {
        Self { section: Section::Heading, state: START, line: Vec::new() }
    }
}

impl ResponseDecoder {
    /// The server ended its answer.
    pub fn is_complete(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// Takes the next bytes, appends those of the pack to `pack`.
    pub fn push(&mut self, mut bytes: &[u8], pack: &mut Vec<u8>) -> Result<(), ResponseError> {
        while !bytes.is_empty() && !self.is_complete() {
            let used = self.step(bytes, pack)?;
            bytes = &bytes[used..];
        }
        Ok(())
    }

    fn step(&mut self, bytes: &[u8], pack: &mut Vec<u8>) -> Result<usize, ResponseError> {
        match &mut self.state {
            State::Length { digits, have } => {
                digits[*have] = bytes[0];
                *have += 1;
                if *have == 4 {
                    let digits = *digits;
                    self.begin(parse_length(digits)?);
                }
                Ok(1)
            }
            State::Line { left } => {
                let used = (*left).min(bytes.len());
                let room = MAX_SECTION_LINE.saturating_sub(self.line.len());
                self.line.extend_from_slice(&bytes[..used.min(room)]);
                *left -= used;
                if *left == 0 {
                    self.state = START;
                    self.end_line()?;
                }
                Ok(used)
            }
            State::Band { left } => {
                let band = match bytes[0] {
                    1 => Band::Pack,
                    2 => Band::Progress,
                    // `E` is the start of a plain `ERR` line, which replaces everything.
                    3 | b'E' => Band::Fatal,
                    other => return Err(ResponseError::Band(other)),
                };
                let left = *left - 1;
                self.state = if left == 0 { START } else { State::Data { band, left } };
                Ok(1)
            }
            State::Data { band, left } => {
                let used = (*left).min(bytes.len());
                *left -= used;
                let ended = *left == 0;
                match band {
                    Band::Pack => pack.extend_from_slice(&bytes[..used]),
                    Band::Progress => {}
                    Band::Fatal => {
                        let room = MAX_COMPLAINT.saturating_sub(self.line.len());
                        self.line.extend_from_slice(&bytes[..used.min(room)]);
                        if ended {
                            let message = self.line.strip_prefix(b"RR ").unwrap_or(&self.line);
                            return Err(refused(message));
                        }
                    }
                }
                if ended {
                    self.state = START;
                }
                Ok(used)
            }
            State::Ended => Ok(bytes.len()),
        }
    }

    fn begin(&mut self, length: usize) {
        self.line.clear();
        self.state = match (length, self.section) {
            // A flush in front of the pack ends the answer too: the server has nothing to say.
            (0 | 2, _) => State::Ended,
            (1, _) => {
                self.section = Section::Heading;
                START
            }
            // An empty line is allowed, and a band needs at least its number.
            (4, _) => START,
            (length, Section::Pack) => State::Band { left: length - 4 },
            (length, _) => State::Line { left: length - 4 },
        };
    }

    fn end_line(&mut self) -> Result<(), ResponseError> {
        let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        if let Some(message) = line.strip_prefix(b"ERR ") {
            return Err(refused(message));
        }
        if self.section == Section::Heading {
            self.section = match line {
                b"packfile" => Section::Pack,
                b"acknowledgments" | b"shallow-info" | b"wanted-refs" => Section::Lines,
                other => {
                    let shown = &other[..other.len().min(60)];
                    return Err(ResponseError::Section(shown.escape_ascii().to_string()));
                }
            };
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(payload: &[u8]) -> Vec<u8> {
        [format!("{:04x}", payload.len() + 4).as_bytes(), payload].concat()
    }

    fn answer() -> Vec<u8> {
        [
            line(b"shallow-info\n"),
            line(b"shallow 1111111111111111111111111111111111111111"),
            b"0001".to_vec(),
            line(b"packfile\n"),
            line(b"\x01PACK"),
            line(b"\x02counting\n"),
            line(b"\x01"),
            line(b"\x01rest of it"),
            b"0000".to_vec(),
        ]
        .concat()
    }

    #[test]
    fn only_the_pack_comes_through() {
        let (mut decoder, mut pack) = (ResponseDecoder::default(), Vec::new());
        decoder.push(&answer(), &mut pack).unwrap();
        assert_eq!(pack, b"PACKrest of it");
        assert!(decoder.is_complete());
    }

    #[test]
    fn every_byte_of_a_cut_line_comes_through() {
        let whole = answer();
        for length in 0..whole.len() - 4 {
            let (mut at_once, mut by_one) = (Vec::new(), Vec::new());
            ResponseDecoder::default().push(&whole[..length], &mut at_once).unwrap();
            let mut decoder = ResponseDecoder::default();
            for byte in &whole[..length] {
                decoder.push(std::slice::from_ref(byte), &mut by_one).unwrap();
            }
            assert_eq!(at_once, by_one);
            assert!(!decoder.is_complete());
        }
        let (mut decoder, mut pack) = (ResponseDecoder::default(), Vec::new());
        decoder.push(&whole[..whole.len() - 6], &mut pack).unwrap();
        assert_eq!(pack, b"PACKrest of ");
    }

    #[test]
    fn a_refusal_is_passed_on_in_the_servers_words_wherever_it_stands() {
        let fatal = [line(b"packfile\n"), line(b"\x03fatal: out\nof memory")].concat();
        let late = [line(b"packfile\n"), line(b"ERR upload-pack: not our ref 1")].concat();
        for (bytes, words) in [
            (line(b"ERR filter 'combine' not supported\n"), "filter 'combine' not supported"),
            (fatal, "fatal: out of memory"),
            (late, "upload-pack: not our ref 1"),
        ] {
            let error = ResponseDecoder::default().push(&bytes, &mut Vec::new()).unwrap_err();
            assert_eq!(error, ResponseError::Refused(words.into()));
        }
    }

    #[test]
    fn refs_come_with_what_their_tags_point_at() {
        let (one, two) = ("1".repeat(40), "2".repeat(40));
        let body =
            [line(format!("{one} refs/tags/v1 peeled:{two}\n").as_bytes()), b"0000".to_vec()]
                .concat();
        let refs = parse_refs(&body).unwrap();
        assert_eq!(refs[0].name, "refs/tags/v1");
        assert_eq!(refs[0].target().to_string(), two);
    }

    #[test]
    fn a_list_of_refs_that_is_cut_short_is_not_believed() {
        let body = line(format!("{} refs/heads/main\n", "1".repeat(40)).as_bytes());
        assert_eq!(parse_refs(&body), Err(ResponseError::Truncated));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_readers_panic(bytes in proptest::collection::vec(0_u8.., 0..300)) {
            drop(parse_refs(&bytes));
            drop(ResponseDecoder::default().push(&bytes, &mut Vec::new()));
            let framed = [line(b"packfile\n"), bytes].concat();
            drop(ResponseDecoder::default().push(&framed, &mut Vec::new()));
        }
    }
}
