//! Whether a request comes from one of the users: bcrypt, with its work bounded, remembered, and the same whether or not
//! there is such a user.
//!
//! A check costs tenths of a second, so that a flood of guesses could stop the scrapes. Therefore what was found out is
//! remembered (under a keyed hash, never the password); one check runs at a time; and those that wait for theirs are few,
//! in all and from one address. Who is remembered never waits.

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
/// Remembered credentials, accepted and refused ones apart: guesses do not push out who was accepted.
const REMEMBERED: usize = 1024;

/// What became of a request's credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// They are those of a user.
    Accepted,
    /// They are missing, or wrong.
    Refused,
    /// Too many checks wait already.
    Busy,
}

/// Compares a password with a hash.
type Compare = Arc<dyn Fn(&PasswordHash, &[u8]) -> bool + Send + Sync>;

/// The one who checks.
pub(crate) struct Authenticator {
    /// Made at the start, and nowhere else: nothing that is remembered means anything to another process.
    key: hmac::Key,
    compare: Compare,
    turn: Arc<Semaphore>,
    memory: Arc<Mutex<Memory>>,
    waiting: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// What a request says of itself.
struct Credentials {
    user: String,
    password: Vec<u8>,
}

/// Stands for a user, a hash and a password together.
type Trace = [u8; 32];

#[derive(Default)]
struct Memory {
    accepted: Remembered,
    refused: Remembered,
}

/// The latest traces.
#[derive(Default)]
struct Remembered {
    traces: std::collections::HashSet<Trace>,
    by_age: VecDeque<Trace>,
}

impl Authenticator {
    /// One that remembers nothing yet.
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

    /// Whether `authorization`, the header of a request from `peer`, is that of one of the users, of which there is one
    /// at least.
    pub(crate) async fn check(
        &self,
        users: &BTreeMap<String, PasswordHash>,
        authorization: Option<&[u8]>,
        peer: IpAddr,
    ) -> Verdict {
        let Some(Credentials { user, password }) = authorization.and_then(credentials) else { return Verdict::Refused };
        let known = users.get(&user);
        // A stranger costs as much as some user, always the same one for the same name.
        let Some(hash) = known.or_else(|| self.stand_in(users, &user)) else { return Verdict::Refused };
        let trace = self.trace(known.is_some(), &user, hash, &password);
        if let Some(verdict) = self.remembered(&trace) {
            return verdict;
        }
        let Some(waits) = Waits::begin(&self.waiting, block_of(peer)) else { return Verdict::Busy };
        let (is_known, hash) = (known.is_some(), hash.clone());
        let (compare, memory, turn) = (Arc::clone(&self.compare), Arc::clone(&self.memory), Arc::clone(&self.turn));
        // On its own, so that it keeps its place when the client has no more patience: behind a flood of guesses a scrape
        // would otherwise begin at the end of the queue each time, and never be known.
        let checked = tokio::spawn(async move {
            let _waits = waits;
            compare_in_turn(turn, memory, compare, trace, hash, is_known, password).await
        });
        checked.await.unwrap_or(Verdict::Busy)
    }

    fn remembered(&self, trace: &Trace) -> Option<Verdict> {
        lock(&self.memory).verdict(trace)
    }

    fn stand_in<'u>(&self, users: &'u BTreeMap<String, PasswordHash>, user: &str) -> Option<&'u PasswordHash> {
        let tag = hmac::sign(&self.key, user.as_bytes());
        let number = tag.as_ref().first_chunk().map(|bytes| u64::from_le_bytes(*bytes))?;
        let count = u64::try_from(users.len()).ok()?;
        let at = usize::try_from(number.checked_rem(count)?).ok()?;
        users.values().nth(at)
    }

    /// The hash is part of it: a changed password is another case. So is whether there is such a user.
    fn trace(&self, is_known: bool, user: &str, hash: &PasswordHash, password: &[u8]) -> Trace {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&[u8::from(is_known)]);
        for part in [user.as_bytes(), hash.text().as_bytes(), password] {
            // With their lengths, so that no two cases are the same row of bytes.
            context.update(&part.len().to_le_bytes());
            context.update(part);
        }
        context.sign().as_ref().first_chunk().copied().unwrap_or_default()
    }
}

/// Compares a password with a hash when its turn has come, and remembers what came of it.
async fn compare_in_turn(
    turn: Arc<Semaphore>,
    memory: Arc<Mutex<Memory>>,
    compare: Compare,
    trace: Trace,
    hash: PasswordHash,
    is_known: bool,
    password: Vec<u8>,
) -> Verdict {
    let Ok(turn) = turn.acquire_owned().await else { return Verdict::Busy };
    // Somebody with the same credentials may have been before us in the queue.
    let known = lock(&memory).verdict(&trace);
    if let Some(verdict) = known {
        return verdict;
    }
    let compared = tokio::task::spawn_blocking(move || {
        let is_accepted = compare(&hash, &password) && is_known;
        lock(&memory).keep(trace, is_accepted);
        // The turn ends here, on this thread and with the answer remembered: neither a client that goes away nor the next
        // one with the same question lets a comparison begin that is not needed.
        drop(turn);
        if is_accepted { Verdict::Accepted } else { Verdict::Refused }
    });
    compared.await.unwrap_or(Verdict::Busy)
}

/// No code panics while it holds a lock, and if it did, what that guards is still good.
fn lock<T>(guarded: &Mutex<T>) -> MutexGuard<'_, T> {
    guarded.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Memory {
    fn verdict(&self, trace: &Trace) -> Option<Verdict> {
        if self.accepted.traces.contains(trace) {
            return Some(Verdict::Accepted);
        }
        self.refused.traces.contains(trace).then_some(Verdict::Refused)
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

/// A place among those that wait; free again when this is dropped.
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

/// The address, or the network of an IPv6 address: one client has a whole /64 of those.
fn block_of(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & !u128::from(u64::MAX)).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// The user and the password in the header; none if it is not of the kind `Basic`.
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
