//! Checks the user and password of a request, by bcrypt. It costs the same whether or not there is such a user.
//!
//! A check takes tenths of a second, so that a flood of guesses could stop the scrapes. Therefore results are remembered
//! (under a keyed hash, never the password), one check runs at a time, and only few may wait, in all and from one address.
//! Credentials whose result is remembered never wait.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use ring::rand::SystemRandom;
use tokio::sync::Semaphore;

use super::password::PasswordHash;

/// Checks that may wait for their turn: from one address, and in all.
const WAITING_OF_ONE: usize = 4;
const WAITING: usize = 64;
/// Remembered credentials, accepted and refused ones apart, so that guesses do not displace accepted ones.
const REMEMBERED: usize = 1024;

/// The result of checking the credentials of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CredentialCheck {
    /// They are those of a user.
    Accepted,
    /// They are missing, or wrong.
    Refused,
    /// Too many checks are waiting already.
    Busy,
}

/// Compares a password with a hash.
type Compare = Arc<dyn Fn(&PasswordHash, &[u8]) -> bool + Send + Sync>;

/// Checks credentials, and remembers the results.
pub(crate) struct Authenticator {
    /// Random and never stored, so that what is remembered is of no use outside this process.
    key: hmac::Key,
    compare: Compare,
    turn: Arc<Semaphore>,
    memory: Arc<Mutex<Memory>>,
    waiting: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// What a request claims.
struct Credentials {
    user: String,
    password: Vec<u8>,
}

/// A keyed hash of a user, the hash of their password, and a password.
type Trace = [u8; 32];

#[derive(Default)]
struct Memory {
    accepted: Remembered,
    refused: Remembered,
}

/// The latest traces, up to a bound.
#[derive(Default)]
struct Remembered {
    traces: std::collections::HashSet<Trace>,
    by_age: VecDeque<Trace>,
}

impl Authenticator {
    /// Nothing is remembered yet.
    ///
    /// # Errors
    /// If the system gives no random numbers.
    pub(crate) fn new() -> Result<Self, ring::error::Unspecified> {
        Self::comparing(Arc::new(PasswordHash::is_of))
    }

    fn comparing(compare: Compare) -> Result<Self, ring::error::Unspecified> {
        Ok(Self {
            key: hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())?,
            compare,
            turn: Arc::new(Semaphore::new(1)),
            memory: Arc::default(),
            waiting: Arc::default(),
        })
    }

    /// Checks `authorization`, the header of a request from `peer`, against the users, of which there is at least one.
    pub(crate) async fn check(
        &self,
        users: &BTreeMap<String, PasswordHash>,
        authorization: Option<&[u8]>,
        peer: IpAddr,
    ) -> CredentialCheck {
        let Some(Credentials { user, password }) = authorization.and_then(credentials) else {
            return CredentialCheck::Refused;
        };
        let known = users.get(&user);
        // An unknown name costs as much as a user, always the same one for the same name.
        let Some(hash) = known.or_else(|| self.stand_in(users, &user)) else { return CredentialCheck::Refused };
        let trace = self.trace(known.is_some(), &user, hash, &password);
        if let Some(result) = lock(&self.memory).result_of(&trace) {
            return result;
        }
        let Some(waits) = Waits::begin(&self.waiting, block_of(peer)) else { return CredentialCheck::Busy };
        let (is_known, hash) = (known.is_some(), hash.clone());
        let (compare, memory, turn) = (Arc::clone(&self.compare), Arc::clone(&self.memory), Arc::clone(&self.turn));
        // In a task of its own, which keeps its place in the queue when the client gives up: behind a flood of guesses a scrape
        // would otherwise start at the end of the queue each time, and its result would never be known.
        let checked = tokio::spawn(async move {
            let _waits = waits;
            compare_in_turn(turn, memory, compare, trace, hash, is_known, password).await
        });
        checked.await.unwrap_or(CredentialCheck::Busy)
    }

    fn stand_in<'u>(&self, users: &'u BTreeMap<String, PasswordHash>, user: &str) -> Option<&'u PasswordHash> {
        let tag = hmac::sign(&self.key, user.as_bytes());
        let number = tag.as_ref().first_chunk().map(|bytes| u64::from_le_bytes(*bytes))?;
        let count = u64::try_from(users.len()).ok()?;
        let at = usize::try_from(number.checked_rem(count)?).ok()?;
        users.values().nth(at)
    }

    /// Contains the hash, so that a changed password is checked again, and whether there is such a user.
    fn trace(&self, is_known: bool, user: &str, hash: &PasswordHash, password: &[u8]) -> Trace {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&[u8::from(is_known)]);
        for part in [user.as_bytes(), hash.text().as_bytes(), password] {
            // With their lengths, so that no two cases are the same bytes.
            context.update(&part.len().to_le_bytes());
            context.update(part);
        }
        context.sign().as_ref().first_chunk().copied().unwrap_or_default()
    }
}

/// Compares a password with a hash when it is its turn, and remembers the result.
async fn compare_in_turn(
    turn: Arc<Semaphore>,
    memory: Arc<Mutex<Memory>>,
    compare: Compare,
    trace: Trace,
    hash: PasswordHash,
    is_known: bool,
    password: Vec<u8>,
) -> CredentialCheck {
    let Ok(turn) = turn.acquire_owned().await else { return CredentialCheck::Busy };
    // A request with the same credentials may have been ahead in the queue.
    let earlier = lock(&memory).result_of(&trace);
    if let Some(result) = earlier {
        return result;
    }
    let compared = tokio::task::spawn_blocking(move || {
        let is_accepted = compare(&hash, &password) && is_known;
        lock(&memory).keep(trace, is_accepted);
        // The turn ends here, on this thread and with the result remembered, so that neither a client that goes away nor the
        // next one with the same credentials causes another comparison.
        drop(turn);
        if is_accepted { CredentialCheck::Accepted } else { CredentialCheck::Refused }
    });
    compared.await.unwrap_or(CredentialCheck::Busy)
}

/// Nothing panics while it holds one of these locks; if something did, the data would still be good.
fn lock<T>(guarded: &Mutex<T>) -> MutexGuard<'_, T> {
    guarded.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Memory {
    fn result_of(&self, trace: &Trace) -> Option<CredentialCheck> {
        if self.accepted.traces.contains(trace) {
            return Some(CredentialCheck::Accepted);
        }
        self.refused.traces.contains(trace).then_some(CredentialCheck::Refused)
    }

    fn keep(&mut self, trace: Trace, is_accepted: bool) {
        if is_accepted { &mut self.accepted } else { &mut self.refused }.keep(trace);
    }
}

impl Remembered {
    fn keep(&mut self, trace: Trace) {
        if !self.traces.insert(trace) {
            return;
        }
        self.by_age.push_back(trace);
        if self.by_age.len() > REMEMBERED
            && let Some(oldest) = self.by_age.pop_front()
        {
            self.traces.remove(&oldest);
        }
    }
}

/// A place among the checks that wait. It is free again when this is dropped.
struct Waits {
    all: Arc<Mutex<HashMap<IpAddr, usize>>>,
    address: IpAddr,
}

impl Waits {
    fn begin(all: &Arc<Mutex<HashMap<IpAddr, usize>>>, address: IpAddr) -> Option<Self> {
        let mut waiting = lock(all);
        let of_this = waiting.get(&address).copied().unwrap_or_default();
        if of_this >= WAITING_OF_ONE || waiting.values().sum::<usize>() >= WAITING {
            return None;
        }
        waiting.insert(address, of_this + 1);
        Some(Self { all: Arc::clone(all), address })
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        let mut waiting = lock(&self.all);
        if let Some(of_this) = waiting.get_mut(&self.address) {
            *of_this -= 1;
            if *of_this == 0 {
                waiting.remove(&self.address);
            }
        }
    }
}

/// The address, or the /64 network of an IPv6 address: one client has all of that.
fn block_of(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & !u128::from(u64::MAX)).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// The user and the password in the header; `None` if it is not of the scheme `Basic`.
fn credentials(authorization: &[u8]) -> Option<Credentials> {
    const SCHEME: &[u8] = b"basic ";
    let (scheme, encoded) = authorization.split_at_checked(SCHEME.len())?;
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return None;
    }
    let decoded = STANDARD.decode(encoded).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    let (user, password) = (decoded.get(..colon)?, decoded.get(colon + 1..)?);
    Some(Credentials { user: String::from_utf8(user.to_vec()).ok()?, password: password.to_vec() })
}

#[cfg(test)]
mod tests;
