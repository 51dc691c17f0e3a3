use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use super::*;

const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

fn users(costs: &[(&str, u32)]) -> BTreeMap<String, PasswordHash> {
    let hash = |user: &str, cost| PasswordHash::parse(&bcrypt::hash(format!("{user}'s"), cost).unwrap()).unwrap();
    costs.iter().map(|(user, cost)| ((*user).to_owned(), hash(user, *cost))).collect()
}

fn basic(user: &str, password: &str) -> Vec<u8> {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))).into_bytes()
}

/// One that records the costs of its comparisons, in their order.
fn counting() -> (Authenticator, Arc<Mutex<Vec<u32>>>) {
    let costs = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&costs);
    let compare = move |hash: &PasswordHash, password: &[u8]| {
        keep.lock().unwrap().push(hash.cost());
        hash.is_of(password)
    };
    (Authenticator::comparing(Arc::new(compare)).unwrap(), costs)
}

#[tokio::test]
async fn only_the_password_of_the_user_is_accepted() {
    let users = users(&[("alice", 4), ("bob", 4)]);
    let authenticator = Authenticator::new().unwrap();
    let check = async |header: &[u8]| authenticator.check(&users, Some(header), PEER).await;
    for _ in 0..2 {
        assert_eq!(check(&basic("alice", "alice's")).await, CredentialCheck::Accepted);
        assert_eq!(check(&basic("alice", "bob's")).await, CredentialCheck::Refused);
        assert_eq!(check(&basic("bob", "alice's")).await, CredentialCheck::Refused);
        // Whichever user's hash stands in, a stranger with that user's password is a stranger.
        for stranger in ["carol", "", "Alice", "alice "] {
            for password in ["alice's", "bob's"] {
                assert_eq!(check(&basic(stranger, password)).await, CredentialCheck::Refused);
            }
        }
    }
    assert_eq!(authenticator.check(&users, None, PEER).await, CredentialCheck::Refused);
    let good = String::from_utf8(basic("bob", "bob's")).unwrap();
    assert_eq!(check(good.replace("Basic", "bAsIc").as_bytes()).await, CredentialCheck::Accepted);
    for bad in [good.replace("Basic", "Bearer"), good.replace(' ', ""), good.clone() + "!", "Basic ".into()] {
        assert_eq!(check(bad.as_bytes()).await, CredentialCheck::Refused, "{bad}");
    }
}

#[tokio::test]
async fn a_stranger_costs_as_much_as_a_user_and_always_the_same() {
    let users = users(&[("alice", 4), ("bob", 5)]);
    let (authenticator, costs) = counting();
    let cost = async |user: &str, password: &str| {
        authenticator.check(&users, Some(&basic(user, password)), PEER).await;
        std::mem::take(&mut *costs.lock().unwrap())
    };
    assert_eq!(cost("alice", "wrong").await, [4]);
    assert_eq!(cost("bob", "wrong").await, [5]);
    // What is remembered costs nothing, of users and of strangers.
    assert!(cost("alice", "wrong").await.is_empty());
    let mut seen = std::collections::BTreeSet::new();
    for n in 0..24 {
        let stranger = format!("stranger {n}");
        let first = cost(&stranger, "a").await;
        assert_eq!(first, cost(&stranger, "b").await);
        assert!(cost(&stranger, "a").await.is_empty());
        assert_eq!(first.len(), 1);
        seen.extend(first);
    }
    // One in sixteen million that all of them fall on one user.
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [4, 5]);
}

#[tokio::test]
async fn a_changed_password_is_checked_anew() {
    let (authenticator, costs) = counting();
    let old = users(&[("alice", 4)]);
    let header = basic("alice", "alice's");
    assert_eq!(authenticator.check(&old, Some(&header), PEER).await, CredentialCheck::Accepted);
    let hash = PasswordHash::parse(&bcrypt::hash("other", 4).unwrap()).unwrap();
    let new = BTreeMap::from([("alice".to_owned(), hash)]);
    assert_eq!(authenticator.check(&new, Some(&header), PEER).await, CredentialCheck::Refused);
    assert_eq!(authenticator.check(&old, Some(&header), PEER).await, CredentialCheck::Accepted);
    // A stranger whose stand-in had that hash, and who then becomes a user with it.
    let joined = BTreeMap::from([("eve".to_owned(), old["alice"].clone())]);
    assert_eq!(authenticator.check(&old, Some(&basic("eve", "alice's")), PEER).await, CredentialCheck::Refused);
    assert_eq!(authenticator.check(&joined, Some(&basic("eve", "alice's")), PEER).await, CredentialCheck::Accepted);
    assert_eq!(costs.lock().unwrap().len(), 4);
}

/// An authenticator whose comparisons wait until they are let go, one by one.
struct Held {
    authenticator: Arc<Authenticator>,
    users: Arc<BTreeMap<String, PasswordHash>>,
    go: mpsc::Sender<()>,
    at_once: Arc<AtomicUsize>,
    most_at_once: Arc<AtomicUsize>,
    compared: Arc<AtomicUsize>,
}

impl Held {
    fn new() -> Self {
        let (go, wait) = mpsc::channel::<()>();
        let wait = Mutex::new(wait);
        let [at_once, most_at_once, compared] = [0; 3].map(|_| Arc::new(AtomicUsize::new(0)));
        let (now, most, all) = (Arc::clone(&at_once), Arc::clone(&most_at_once), Arc::clone(&compared));
        let compare = move |hash: &PasswordHash, password: &[u8]| {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            // Two minutes are a failure, not a wait.
            wait.lock().unwrap().recv_timeout(Duration::from_secs(120)).unwrap();
            now.fetch_sub(1, Ordering::SeqCst);
            all.fetch_add(1, Ordering::SeqCst);
            hash.is_of(password)
        };
        let authenticator = Arc::new(Authenticator::comparing(Arc::new(compare)).unwrap());
        Self { authenticator, users: Arc::new(users(&[("alice", 4)])), go, at_once, most_at_once, compared }
    }

    fn ask(&self, header: Vec<u8>, peer: IpAddr) -> tokio::task::JoinHandle<CredentialCheck> {
        let (authenticator, users) = (Arc::clone(&self.authenticator), Arc::clone(&self.users));
        tokio::spawn(async move { authenticator.check(&users, Some(&header), peer).await })
    }

    async fn waiting(&self, count: usize) {
        while self.authenticator.waiting.lock().unwrap().values().sum::<usize>() != count
            || self.at_once.load(Ordering::SeqCst) != 1
        {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_guesses_is_turned_away_and_stops_no_one_who_is_remembered() {
    let held = Held::new();
    let header = basic("alice", "alice's");
    held.go.send(()).unwrap();
    assert_eq!(held.ask(header.clone(), PEER).await.unwrap(), CredentialCheck::Accepted);

    let address = |n: u8| IpAddr::from([198, 51, 100, n]);
    let mut guesses = Vec::new();
    for n in 0..16 {
        for k in 0..WAITING_OF_ONE {
            guesses.push(held.ask(basic("alice", &format!("guess {n} {k}")), address(n)));
        }
    }
    held.waiting(WAITING).await;
    // No room is left, neither for an address that waits already nor for another one.
    assert_eq!(held.ask(basic("alice", "more"), address(0)).await.unwrap(), CredentialCheck::Busy);
    assert_eq!(held.ask(basic("alice", "more"), address(99)).await.unwrap(), CredentialCheck::Busy);
    assert_eq!(
        held.ask(header, address(0)).await.unwrap(),
        CredentialCheck::Accepted,
        "who is remembered does not wait"
    );
    for _ in 0..WAITING {
        held.go.send(()).unwrap();
    }
    for guess in guesses {
        assert_eq!(guess.await.unwrap(), CredentialCheck::Refused);
    }
    assert_eq!(held.most_at_once.load(Ordering::SeqCst), 1, "one comparison at a time");
    assert!(held.authenticator.waiting.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_takes_four_places_and_the_same_question_is_compared_once() {
    let held = Held::new();
    let same: Vec<_> = (0..WAITING_OF_ONE).map(|_| held.ask(basic("alice", "alice's"), PEER)).collect();
    held.waiting(WAITING_OF_ONE).await;
    assert_eq!(held.ask(basic("alice", "x"), PEER).await.unwrap(), CredentialCheck::Busy);
    held.go.send(()).unwrap();
    for asked in same {
        assert_eq!(asked.await.unwrap(), CredentialCheck::Accepted);
    }
    assert_eq!(held.compared.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn memory_is_bounded_and_guesses_do_not_push_out_a_user() {
    let mut memory = Memory::default();
    let trace = |n: usize| {
        let mut trace = [0; 32];
        trace[..8].copy_from_slice(&n.to_le_bytes());
        trace
    };
    memory.accepted.keep(trace(0));
    for n in 1..=3 * REMEMBERED {
        memory.refused.keep(trace(n));
        memory.refused.keep(trace(n));
    }
    assert_eq!((memory.refused.traces.len(), memory.refused.by_age.len()), (REMEMBERED, REMEMBERED));
    assert!(memory.accepted.traces.contains(&trace(0)));
}

#[test]
fn one_client_is_one_address_or_one_network_of_ipv6() {
    let block = |text: &str| block_of(text.parse().unwrap()).to_string();
    assert_eq!(block("192.0.2.7"), "192.0.2.7");
    assert_eq!(block("::ffff:192.0.2.7"), "192.0.2.7");
    assert_eq!(block("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
}
