//! Deltas of packs: a base, and instructions that copy from it or insert.

/// No copy-or-insert sequence of a sane packer is malformed; each of these is an attack or a broken server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeltaError {
    #[error("delta ends in the middle of an instruction")]
    Truncated,
    #[error("delta holds the reserved instruction 0")]
    Reserved,
    #[error("delta copies {length} bytes at {offset} from a base of {base} bytes")]
    OutsideBase { offset: usize, length: usize, base: usize },
    #[error("delta is for a base of {expected} bytes, not of {found}")]
    OtherBase { expected: u64, found: u64 },
    #[error("delta makes {found} bytes instead of {expected}")]
    OtherResult { expected: u64, found: u64 },
    #[error("delta states a size of more than 63 bits")]
    Size,
}

/// The sizes of base and result that a delta states at its start.
pub fn delta_sizes(delta: &[u8]) -> Result<(u64, u64), DeltaError> {
    let mut rest = delta;
    Ok((size(&mut rest)?, size(&mut rest)?))
}

/// Builds the result. The caller has checked the promised size against its limit.
pub fn apply_delta(base: &[u8], delta: &[u8]) -> Result<Vec<u8>, DeltaError> {
    let mut rest = delta;
    let base_size = size(&mut rest)?;
    let result_size = size(&mut rest)?;
    if base_size != base.len() as u64 {
        return Err(DeltaError::OtherBase { expected: base_size, found: base.len() as u64 });
    }
    // What the delta promises is reserved only as far as copying could fill it soon.
    let likely = usize::try_from(result_size).unwrap_or(0).min(base.len() + delta.len());
    let mut result = Vec::with_capacity(likely);
    while let Some(instruction) = take(&mut rest) {
        if instruction & 0x80 != 0 {
            let (offset, length) = copy_range(instruction, &mut rest)?;
            let piece = offset
                .checked_add(length)
                .and_then(|end| base.get(offset..end))
                .ok_or(DeltaError::OutsideBase { offset, length, base: base.len() })?;
            result.extend_from_slice(piece);
        } else if instruction == 0 {
            return Err(DeltaError::Reserved);
        } else {
            let (piece, after) =
                rest.split_at_checked(usize::from(instruction)).ok_or(DeltaError::Truncated)?;
            result.extend_from_slice(piece);
            rest = after;
        }
        if result.len() as u64 > result_size {
            break;
        }
    }
    if result.len() as u64 == result_size {
        Ok(result)
    } else {
        Err(DeltaError::OtherResult { expected: result_size, found: result.len() as u64 })
    }
}

/// The low seven bits of the instruction say which bytes of offset and length follow.
fn copy_range(instruction: u8, rest: &mut &[u8]) -> Result<(usize, usize), DeltaError> {
    let mut value = [0_usize; 2];
    for bit in 0..7 {
        if instruction & (1 << bit) != 0 {
            let byte = usize::from(take(rest).ok_or(DeltaError::Truncated)?);
            let (index, shift) = if bit < 4 { (0, bit * 8) } else { (1, (bit - 4) * 8) };
            value[index] |= byte << shift;
        }
    }
    let [offset, length] = value;
    // The format writes 64 KiB, which does not fit two bytes, as 0.
    Ok((offset, if length == 0 { 0x1_0000 } else { length }))
}

fn size(rest: &mut &[u8]) -> Result<u64, DeltaError> {
    let mut size = 0_u64;
    for shift in (0..63).step_by(7) {
        let byte = take(rest).ok_or(DeltaError::Truncated)?;
        size |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(size);
        }
    }
    Err(DeltaError::Size)
}

fn take(rest: &mut &[u8]) -> Option<u8> {
    let (first, after) = rest.split_first()?;
    *rest = after;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delta_copies_and_inserts() {
        // Base of 11, result of 9: copy 6 from 0, insert "sea".
        let delta = [11, 9, 0x90, 6, 3, b's', b'e', b'a'];
        assert_eq!(apply_delta(b"hello world", &delta).unwrap(), b"hello sea");
    }

    #[test]
    fn a_copy_outside_of_the_base_is_refused() {
        let delta = [3, 9, 0x91, 2, 9];
        assert_eq!(
            apply_delta(b"abc", &delta),
            Err(DeltaError::OutsideBase { offset: 2, length: 9, base: 3 })
        );
    }

    #[test]
    fn a_delta_that_makes_more_than_it_promises_is_refused() {
        let delta = [3, 2, 0x90, 3, 0x90, 3, 0x90, 3];
        assert_eq!(
            apply_delta(b"abc", &delta),
            Err(DeltaError::OtherResult { expected: 2, found: 3 })
        );
    }

    #[test]
    fn a_delta_for_another_base_is_refused() {
        assert_eq!(
            apply_delta(b"abcd", &[3, 0]),
            Err(DeltaError::OtherBase { expected: 3, found: 4 })
        );
    }

    proptest::proptest! {
        #[test]
        fn no_delta_makes_it_panic(
            base in proptest::collection::vec(0_u8.., 0..64),
            mut delta in proptest::collection::vec(0_u8.., 0..64),
        ) {
            delta.insert(0, u8::try_from(base.len()).unwrap());
            drop(apply_delta(&base, &delta));
        }
    }
}
