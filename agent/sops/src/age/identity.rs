//! Our side of age: the keys that files are encrypted to.

use std::fmt;

use bech32::{Bech32, Hrp, primitives::decode::CheckedHrpstring};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

/// Bytes of a key file. A key has 74, its comment as many.
const FILE_MAX: usize = 64 << 10;
/// Identities of all key files. Each is tried on each recipient.
const IDENTITIES_MAX: usize = 100;

const SECRET: &str = "age-secret-key-";
const RECIPIENT: &str = "age";

/// A key that opens what was encrypted to its recipient.
#[derive(Clone)]
pub struct Identity {
    secret: StaticSecret,
    public: [u8; 32],
}

/// Shows the recipient: the secret must not get into a log.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.recipient())
    }
}

impl Identity {
    fn new(secret: [u8; 32]) -> Self {
        let secret = StaticSecret::from(secret);
        let public = PublicKey::from(&secret).to_bytes();
        Self { secret, public }
    }

    /// The recipient that SOPS encrypts to: `age1…`.
    pub fn recipient(&self) -> String {
        let prefix = Hrp::parse_unchecked(RECIPIENT);
        bech32::encode::<Bech32>(prefix, &self.public).unwrap_or_else(|_| RECIPIENT.to_owned())
    }

    pub(super) fn public(&self) -> [u8; 32] {
        self.public
    }

    /// The shared secret; `None` when the other side chose a point for which it is no secret.
    pub(super) fn agree(&self, share: [u8; 32]) -> Option<Zeroizing<[u8; 32]>> {
        let shared = self.secret.diffie_hellman(&PublicKey::from(share));
        shared.was_contributory().then(|| Zeroizing::new(shared.to_bytes()))
    }
}

/// The identities at hand, in the order in which they are tried.
#[derive(Clone, Debug, Default)]
pub struct Identities(Vec<Identity>);

/// Why the text of a key file cannot be used. Never repeats it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    #[error("line {line} is not an age key: it should begin with AGE-SECRET-KEY-1")]
    NotAKey { line: usize },
    #[error("the key on line {line} is damaged")]
    Damaged { line: usize },
    #[error(
        "the key on line {line} is post-quantum, which cannot be used yet: make one with `age-keygen`"
    )]
    PostQuantum { line: usize },
    #[error("the key on line {line} needs a plug-in: make one with `age-keygen`")]
    PlugIn { line: usize },
    #[error("it is protected with a passphrase: the agent has nobody to ask for it")]
    Passphrase,
    #[error("it holds no key: `age-keygen` makes one")]
    Empty,
    #[error("it is not text")]
    NotText,
    #[error("it is larger than {FILE_MAX} bytes")]
    TooLarge,
    #[error("more than {IDENTITIES_MAX} keys")]
    TooMany,
}

impl Identities {
    /// Adds what a file of `age-keygen` holds: one key a line, and comments.
    pub fn add(&mut self, file: &[u8]) -> Result<(), IdentityError> {
        if file.len() > FILE_MAX {
            return Err(IdentityError::TooLarge);
        }
        if file.starts_with(b"age-encryption.org/") || file.starts_with(b"-----BEGIN AGE") {
            return Err(IdentityError::Passphrase);
        }
        let text = str::from_utf8(file).map_err(|_| IdentityError::NotText)?;
        let before = self.0.len();
        for (index, line) in text.lines().enumerate() {
            let key = line.trim();
            if key.is_empty() || key.starts_with('#') {
                continue;
            }
            if self.0.len() == IDENTITIES_MAX {
                return Err(IdentityError::TooMany);
            }
            self.0.push(identity(key, index + 1)?);
        }
        if self.0.len() == before { Err(IdentityError::Empty) } else { Ok(()) }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Identity> {
        self.0.iter()
    }
}

fn identity(key: &str, line: usize) -> Result<Identity, IdentityError> {
    let is = |prefix: &str| {
        key.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    if is("AGE-SECRET-KEY-PQ-") {
        return Err(IdentityError::PostQuantum { line });
    }
    if is("AGE-PLUGIN-") {
        return Err(IdentityError::PlugIn { line });
    }
    if !is(SECRET) {
        return Err(IdentityError::NotAKey { line });
    }
    let damaged = IdentityError::Damaged { line };
    let parsed = CheckedHrpstring::new::<Bech32>(key).map_err(|_| damaged)?;
    if parsed.hrp() != Hrp::parse_unchecked(SECRET) {
        return Err(IdentityError::NotAKey { line });
    }
    let mut secret = Zeroizing::new([0; 32]);
    let mut bytes = parsed.byte_iter();
    for byte in secret.iter_mut() {
        *byte = bytes.next().ok_or(damaged)?;
    }
    if bytes.next().is_some() {
        return Err(damaged);
    }
    Ok(Identity::new(*secret))
}
