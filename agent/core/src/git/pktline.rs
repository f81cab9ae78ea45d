//! The pkt-line framing of Git's wire protocol (gitprotocol-common(5)).

/// The longest line that the protocol allows, its four digits of length included.
pub const MAX_LINE: usize = 65_520;

/// One unit of framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// `0000`: the end of a message.
    Flush,
    /// `0001`: the end of a section.
    Delimiter,
    /// `0002`: the end of a stateless answer.
    ResponseEnd,
    /// The payload, without its line feed.
    Line(&'a [u8]),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PktLineError {
    #[error("`{0}` is no length of a packet line")]
    Length(String),
    #[error("packet line ends after {have} of {length} bytes")]
    Truncated { length: usize, have: usize },
}

/// Appends `payload` as one line. No line feed: the protocol only suggests it, and it costs a byte.
pub fn encode_line(out: &mut Vec<u8>, payload: &str) {
    debug_assert!(payload.len() + 4 <= MAX_LINE, "requests are built from ids and short words");
    out.extend_from_slice(format!("{:04x}", payload.len() + 4).as_bytes());
    out.extend_from_slice(payload.as_bytes());
}

/// Reads the four hex digits in front of a packet.
pub(super) fn parse_length(digits: [u8; 4]) -> Result<usize, PktLineError> {
    let invalid =
        || PktLineError::Length(String::from_utf8_lossy(&digits).escape_debug().collect());
    let length = digits
        .iter()
        .try_fold(0_usize, |length, digit| {
            Some(length * 16 + (*digit as char).to_digit(16)? as usize)
        })
        .ok_or_else(invalid)?;
    if length == 3 || length > MAX_LINE { Err(invalid()) } else { Ok(length) }
}

/// The packets of a whole message; ends at the first thing that is none.
pub fn packets(mut bytes: &[u8]) -> impl Iterator<Item = Result<Packet<'_>, PktLineError>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let packet = split_packet(bytes);
        bytes = packet.as_ref().map_or(&[], |(_, rest)| *rest);
        Some(packet.map(|(packet, _)| packet))
    })
}

fn split_packet(bytes: &[u8]) -> Result<(Packet<'_>, &[u8]), PktLineError> {
    let (digits, rest) = bytes
        .split_first_chunk::<4>()
        .ok_or(PktLineError::Truncated { length: 4, have: bytes.len() })?;
    match parse_length(*digits)? {
        0 => Ok((Packet::Flush, rest)),
        1 => Ok((Packet::Delimiter, rest)),
        2 => Ok((Packet::ResponseEnd, rest)),
        length => {
            let (payload, rest) = rest
                .split_at_checked(length - 4)
                .ok_or(PktLineError::Truncated { length, have: bytes.len() })?;
            Ok((Packet::Line(payload.strip_suffix(b"\n").unwrap_or(payload)), rest))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_survives_encoding_and_reading() {
        let mut bytes = Vec::new();
        encode_line(&mut bytes, "command=ls-refs");
        bytes.extend_from_slice(b"00010009peel\n0000");
        let read: Vec<_> = packets(&bytes).collect::<Result<_, _>>().unwrap();
        assert_eq!(
            read,
            [
                Packet::Line(b"command=ls-refs"),
                Packet::Delimiter,
                Packet::Line(b"peel"),
                Packet::Flush
            ]
        );
    }

    #[test]
    fn a_length_that_is_none_is_named() {
        let error = packets(b"<htm").next().unwrap().unwrap_err();
        assert_eq!(error.to_string(), "`<htm` is no length of a packet line");
    }

    #[test]
    fn three_is_no_length() {
        assert!(packets(b"0003").next().unwrap().is_err());
    }

    #[test]
    fn a_cut_line_says_how_much_is_there() {
        let error = packets(b"0010abc").next().unwrap().unwrap_err();
        assert_eq!(error, PktLineError::Truncated { length: 16, have: 7 });
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic_or_run_on(bytes in proptest::collection::vec(0_u8.., 0..200)) {
            proptest::prop_assert!(packets(&bytes).count() <= bytes.len());
        }
    }
}
