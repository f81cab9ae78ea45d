//! Shamir's secret sharing over GF(2^8), as Vault does it: a part is a byte for
//! each byte of the secret, and the place of the part at the end.

use zeroize::Zeroizing;

/// The secret that these parts are of; `None` when they are not parts of one.
/// Too few of them, or wrong ones, give another secret: there is no telling here.
pub(crate) fn combine(parts: &[Zeroizing<Vec<u8>>]) -> Option<Zeroizing<Vec<u8>>> {
    let (_, first) = parts.first()?.split_last()?;
    let places: Vec<u8> = parts.iter().filter_map(|part| part.last().copied()).collect();
    let is_distinct = (1..places.len()).all(|at| !places[..at].contains(&places[at]));
    let is_even = parts.iter().all(|part| part.len() == first.len() + 1);
    if parts.len() < 2 || first.is_empty() || places.contains(&0) || !is_distinct || !is_even {
        return None;
    }
    let mut secret = Zeroizing::new(vec![0; first.len()]);
    for (index, part) in parts.iter().enumerate() {
        let weight = weight(&places, index);
        for (byte, value) in secret.iter_mut().zip(part.iter()) {
            *byte ^= multiply(*value, weight);
        }
    }
    Some(secret)
}

/// The weight of the part at `index` at zero (Lagrange).
fn weight(places: &[u8], index: usize) -> u8 {
    let own = places[index];
    let others = places.iter().enumerate().filter(|(other, _)| *other != index);
    others.fold(1, |weight, (_, place)| multiply(weight, multiply(*place, inverse(own ^ place))))
}

/// Without branches on what is secret.
fn multiply(a: u8, b: u8) -> u8 {
    /// x^8 + x^4 + x^3 + x + 1, without its highest term.
    const POLYNOMIAL: u8 = 0x1b;
    (0..8).rev().fold(0_u8, |product, bit| {
        let carry = (product >> 7).wrapping_neg() & POLYNOMIAL;
        let term = (b >> bit & 1).wrapping_neg() & a;
        (product << 1) ^ carry ^ term
    })
}

/// The 254th power, since the 255th of every number but zero is one.
fn inverse(number: u8) -> u8 {
    (0..253).fold(number, |power, _| multiply(power, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_times_its_inverse_is_one() {
        assert!((1..=255).all(|number| multiply(number, inverse(number)) == 1));
        assert_eq!(multiply(0x57, 0x83), 0xc1); // FIPS 197, section 4.2
    }

    /// Made with `Split` of SOPS 3.13.2: three parts, of which two are enough.
    const PARTS: [&str; 3] = [
        "27395ec3d816b9bbfeede6dcc2ee0ac0e95b4e51c26cf6220bcc8f9a2f984cb301",
        "1e21eac8f7733334af8a74053a6bbb3199e5caf7c387ad1d5ec8a689fb8737d702",
        "092986381b50bcb8695ef3bb9be1d497408fb69535de6d086d3d4871b77b1e0203",
    ];

    #[test]
    fn parts_that_the_real_sops_made_give_its_secret() {
        let parts = PARTS.map(|hex| {
            let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
            Zeroizing::new((0..hex.len()).step_by(2).map(byte).collect::<Vec<u8>>())
        });
        let [one, two, three] = parts;
        for chosen in [
            vec![one.clone(), two.clone()],
            vec![three.clone(), one.clone()],
            vec![two.clone(), three.clone()],
            vec![one, two, three],
        ] {
            let secret = combine(&chosen).unwrap();
            assert_eq!(secret.as_slice(), b"0123456789abcdef0123456789abcdef");
        }
    }

    #[test]
    fn parts_that_are_not_of_one_secret_are_refused() {
        let combined = |parts: &[&[u8]]| {
            let parts: Vec<_> = parts.iter().map(|part| Zeroizing::new(part.to_vec())).collect();
            combine(&parts).is_some()
        };
        assert!(combined(&[&[7, 1], &[9, 2]]));
        let refused: [&[&[u8]]; 7] = [
            &[],
            &[&[7, 1]],
            &[&[], &[]],
            &[&[1], &[2]],
            &[&[7, 1], &[9, 1]],
            &[&[7, 1], &[9, 9, 2]],
            &[&[7, 0], &[9, 1]],
        ];
        assert_eq!(refused.map(combined), [false; 7]);
    }
}
