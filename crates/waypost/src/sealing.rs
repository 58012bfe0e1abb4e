//! The master key: seals private keys before they go into the store.
//!
//! It comes from `identity.master_key`, or is made on the first start and kept
//! in `data_dir/master.key`, readable by its owner alone. A copy of the
//! database without it opens nothing, so back up both, apart.
//!
//! A sealed value is a version byte, a 96-bit nonce, then AES-256-GCM's
//! ciphertext and tag. What it is sealed for (`purpose`, the row's name) is
//! authenticated: a value moved to another row does not open.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    rand,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

const KEY_BYTES: usize = 32;
const TAG_BYTES: usize = 16;
/// The first byte of every sealed value; another one is another format.
const VERSION: u8 = 1;
const FILE_NAME: &str = "master.key";
/// Owner only.
const FILE_MODE: u32 = 0o600;

/// Seals and opens. Cannot be printed.
pub struct MasterKey(RandomizedNonceKey);

/// Why there is no master key. Display is for the operator.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    #[error("identity.master_key {0}")]
    Configured(&'static str),
    #[error("the master key {path} cannot be read: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("the master key {path} cannot be written: {source}")]
    Write { path: PathBuf, source: io::Error },
    #[error("the file {path} holds no master key: it {problem}")]
    Damaged {
        path: PathBuf,
        problem: &'static str,
    },
    #[error(
        "the store holds sealed signing keys, and the master key {path} that opens them is missing: put it back, set identity.master_key, or give the old keys up with `waypost signing-key rotate --replace-all`"
    )]
    Missing { path: PathBuf },
    #[error("the system's random generator or the cryptographic library failed")]
    Crypto,
}

/// A sealed value that this master key does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it was sealed with another master key, or is damaged")]
pub struct DoesNotOpen;

impl MasterKey {
    /// The configured key, or the one in the data directory. It is made there
    /// if it is missing, unless `sealed_values_exist`: a new one could not open
    /// them.
    pub fn load(
        configured: Option<&str>,
        data_dir: &Path,
        sealed_values_exist: bool,
    ) -> Result<Self, MasterKeyError> {
        if let Some(text) = configured {
            let key = parse(text).map_err(MasterKeyError::Configured)?;
            return Self::new(&key);
        }
        let path = data_dir.join(FILE_NAME);
        match fs::read_to_string(&path).map(Zeroizing::new) {
            Ok(text) => {
                keep_private(&path)?;
                let key = parse(&text).map_err(|problem| MasterKeyError::Damaged {
                    path: path.clone(),
                    problem,
                })?;
                Self::new(&key)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if sealed_values_exist {
                    return Err(MasterKeyError::Missing { path });
                }
                Self::make(&path)
            }
            Err(source) => Err(MasterKeyError::Read { path, source }),
        }
    }

    /// Whether `text` can be a configured key; else a problem that reads well
    /// behind its name.
    pub fn check(text: &str) -> Result<(), &'static str> {
        parse(text).map(|_| ())
    }

    /// Encrypts `plain`; `purpose` must be given again to open it.
    pub fn seal(&self, purpose: &str, plain: &[u8]) -> Result<Vec<u8>, MasterKeyError> {
        // With its final size from the start: growing would leave a copy of
        // the plaintext behind.
        let mut buffer = Zeroizing::new(Vec::with_capacity(plain.len() + TAG_BYTES));
        buffer.extend_from_slice(plain);
        let nonce = self
            .0
            .seal_in_place_append_tag(Aad::from(purpose), &mut *buffer)
            .map_err(|_| MasterKeyError::Crypto)?;
        let mut sealed = Vec::with_capacity(1 + NONCE_LEN + buffer.len());
        sealed.push(VERSION);
        sealed.extend_from_slice(nonce.as_ref());
        sealed.extend_from_slice(&buffer);
        Ok(sealed)
    }

    /// Decrypts what [`MasterKey::seal`] made for the same purpose.
    pub fn open(&self, purpose: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, DoesNotOpen> {
        let Some((&VERSION, rest)) = sealed.split_first() else {
            return Err(DoesNotOpen);
        };
        let (nonce, ciphertext) = rest.split_at_checked(NONCE_LEN).ok_or(DoesNotOpen)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| DoesNotOpen)?;
        let mut buffer = Zeroizing::new(ciphertext.to_vec());
        let length = self
            .0
            .open_in_place(nonce, Aad::from(purpose), &mut buffer)
            .map_err(|_| DoesNotOpen)?
            .len();
        buffer.truncate(length);
        Ok(buffer)
    }

    fn new(key: &[u8; KEY_BYTES]) -> Result<Self, MasterKeyError> {
        RandomizedNonceKey::new(&AES_256_GCM, key)
            .map(Self)
            .map_err(|_| MasterKeyError::Crypto)
    }

    /// Writes beside the file and renames, so that a crash leaves a whole key
    /// or none. The engine's lock keeps other processes out.
    fn make(path: &Path) -> Result<Self, MasterKeyError> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        rand::fill(&mut *key).map_err(|_| MasterKeyError::Crypto)?;
        let mut line = Zeroizing::new(String::with_capacity(48));
        URL_SAFE_NO_PAD.encode_string(*key, &mut line);
        line.push('\n');
        write_private(path, line.as_bytes()).map_err(|source| MasterKeyError::Write {
            path: path.to_owned(),
            source,
        })?;
        tracing::info!(
            "made the master key {}: back it up, apart from the database",
            path.display()
        );
        Self::new(&key)
    }
}

/// 32 bytes as 43 characters of base64url or 64 hexadecimal digits.
fn parse(text: &str) -> Result<Zeroizing<[u8; KEY_BYTES]>, &'static str> {
    const FORM: &str =
        "must be 32 random bytes as base64url or hexadecimal; make one with `openssl rand -hex 32`";
    let text = text.trim().trim_end_matches('=');
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    if text.len() == 2 * KEY_BYTES {
        for (byte, digits) in key.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digit = |d: u8| char::from(d).to_digit(16).ok_or(FORM);
            *byte = (digit(digits[0])? << 4 | digit(digits[1])?) as u8;
        }
        return Ok(key);
    }
    // Standard base64 too: `openssl rand -base64 32` writes it.
    let text = Zeroizing::new(text.replace('+', "-").replace('/', "_"));
    let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(text.as_bytes()).map_err(|_| FORM)?);
    if bytes.len() != KEY_BYTES {
        return Err(FORM);
    }
    key.copy_from_slice(&bytes);
    Ok(key)
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("key.new");
    // What a crash may have left.
    let _ = fs::remove_file(&temporary);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    if let Some(directory) = path.parent() {
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}

/// Takes away what others may do with the file: a restored backup often comes
/// with too much.
fn keep_private(path: &Path) -> Result<(), MasterKeyError> {
    let read = |source| MasterKeyError::Read {
        path: path.to_owned(),
        source,
    };
    let mode = fs::metadata(path).map_err(read)?.permissions().mode();
    let for_others = mode & 0o077;
    if for_others == 0 {
        return Ok(());
    }
    tracing::warn!(
        "the master key {} was accessible to others (mode {:o}); it is now {FILE_MODE:o}",
        path.display(),
        mode & 0o777
    );
    fs::set_permissions(path, fs::Permissions::from_mode(FILE_MODE)).map_err(|source| {
        MasterKeyError::Write {
            path: path.to_owned(),
            source,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    #[test]
    fn sealed_values_open_for_their_purpose_only() {
        let dir = tempfile::tempdir().expect("a directory");
        let key = MasterKey::load(Some(HEX), dir.path(), false).expect("a key");
        let sealed = key.seal("a", b"secret").expect("sealed");
        assert!(!sealed.windows(6).any(|w| w == b"secret"));
        assert_ne!(sealed, key.seal("a", b"secret").expect("sealed"));
        assert_eq!(**key.open("a", &sealed).expect("opened"), *b"secret");
        assert!(key.open("b", &sealed).is_err());
        for at in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1;
            assert!(key.open("a", &damaged).is_err(), "byte {at}");
            assert!(key.open("a", &sealed[..at]).is_err(), "first {at} bytes");
        }
        let other = MasterKey::load(None, dir.path(), false).expect("made");
        assert!(other.open("a", &sealed).is_err());
    }

    #[test]
    fn the_file_is_made_once_and_for_its_owner_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join(FILE_NAME);
        let sealed = {
            let key = MasterKey::load(None, dir.path(), false).expect("made");
            key.seal("a", b"secret").expect("sealed")
        };
        let mode = || fs::metadata(&path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(), FILE_MODE);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("changed");
        let key = MasterKey::load(None, dir.path(), true).expect("read");
        assert!(key.open("a", &sealed).is_ok());
        assert_eq!(mode(), FILE_MODE);
        fs::remove_file(&path).expect("removed");
        let error = MasterKey::load(None, dir.path(), true)
            .err()
            .expect("missing");
        assert!(error.to_string().contains("master.key"), "{error}");
        assert!(!path.exists());
    }

    #[test]
    fn keys_are_read_as_hexadecimal_or_base64() {
        let base64 = URL_SAFE_NO_PAD.encode([0xfb; KEY_BYTES]);
        let standard = format!("{}=\n", base64.replace('-', "+").replace('_', "/"));
        assert_eq!(*parse(&base64).expect("base64url"), [0xfb; KEY_BYTES]);
        assert_eq!(*parse(&standard).expect("base64"), [0xfb; KEY_BYTES]);
        assert_eq!(parse(HEX).expect("hexadecimal")[31], 31);
        for bad in ["", "secret", &HEX[1..], &format!("{HEX}00"), "g0"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
