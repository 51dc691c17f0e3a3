//! What the API answers, well or badly: the simulator is asked.

use std::collections::BTreeMap;

use serde_json::Value;
use simulator::{self, DEFAULT_KEY, FaultKind, FaultRule, Faults, NO_SCOPE_KEY, Simulator, SimulatorConfig};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::time::Timestamp;

/// The simulator has its own points in time.
fn ours(time: simulator::Timestamp) -> Timestamp {
    Timestamp::from_millis(time.as_millis())
}

struct Running {
    simulator: Arc<Simulator>,
    address: SocketAddr,
    shutdown: CancellationToken,
}

impl Running {
    async fn new(change: impl FnOnce(&mut SimulatorConfig)) -> Self {
        let mut config = SimulatorConfig { rate_limit: Some(600), speed: 0.0, ..SimulatorConfig::default() };
        change(&mut config);
        let simulator = Simulator::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, shutdown) = (listener.local_addr().unwrap(), CancellationToken::new());
        tokio::spawn(Arc::clone(&simulator).serve(listener, shutdown.clone()));
        Self { simulator, address, shutdown }
    }

    fn client(&self, key: &str, change: impl FnOnce(&mut ClientOptions)) -> Client {
        self.client_of(CredentialPlace::Key(Secret::new(key).unwrap()), change)
    }

    fn client_of(&self, place: CredentialPlace, change: impl FnOnce(&mut ClientOptions)) -> Client {
        client_with(format!("http://{}", self.address), Roots::Only(Vec::new()), |options| {
            options.credential.place = place;
            change(options);
        })
    }

    fn some_id(&self) -> String {
        self.simulator.sessions(self.simulator.config().start, self.simulator.now())[0].id.clone()
    }

    fn set_fault(&self, kind: FaultKind) {
        let rules = vec![FaultRule { route: None, share: 1.0, kind }];
        self.simulator.set_faults(Faults { rules, ..Faults::default() }).unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

fn json(answer: &Answer) -> Value {
    serde_json::from_slice(answer.result.as_ref().unwrap()).unwrap()
}

#[tokio::test]
async fn every_route_gives_its_body_the_rate_limit_and_the_clock() {
    let running = Running::new(|_| {}).await;
    let client = running.client(DEFAULT_KEY, |_| {});
    let id = running.some_id();
    let session = client.session(&id).await;
    assert_eq!((session.route, json(&session)["id"].as_str()), (Route::Session, Some(id.as_str())));
    assert!(session.elapsed > Duration::ZERO);
    assert_eq!(session.date, Some(ours(running.simulator.now())));
    assert_eq!((session.rate_limit.limit, session.rate_limit.remaining), (Some(600), Some(599)));
    assert!(session.rate_limit.reset.is_some());

    let created_after = Some(ours(running.simulator.config().start.plus(Duration::from_secs(1800))));
    let listed = client.list(&ListQuery { created_after, open_only: false, page: 2, limit: 7 }).await;
    let page = json(&listed);
    assert_eq!((listed.route, page["data"].as_array().unwrap().len()), (Route::List, 7));
    assert_eq!((page["pagination"]["page"].as_u64(), page["pagination"]["limit"].as_u64()), (Some(2), Some(7)));
    let created = |entry: &Value| Timestamp::parse_rfc3339(entry["createdAt"].as_str().unwrap());
    let times: Vec<_> = page["data"].as_array().unwrap().iter().map(created).collect();
    assert!(times.is_sorted_by(|a, b| a >= b) && times.iter().all(|time| *time >= created_after));

    let open = client.list(&ListQuery { created_after: None, open_only: true, page: 1, limit: 100 }).await;
    assert!(json(&open)["data"].as_array().unwrap().iter().all(|entry| entry["state"] == "OPEN"));

    let agents = client.agents(1).await;
    assert_eq!((agents.route, json(&agents)["data"].as_array().unwrap().len()), (Route::Agents, 1));
    assert_eq!(client.credential_name(), "AGNTIX_API_KEY");
    assert_eq!(client.host(), running.address.to_string());
}

#[tokio::test]
async fn every_fault_is_the_error_that_it_should_be() {
    let running = Running::new(|config| config.rate_limit = None).await;
    let client = running.client(DEFAULT_KEY, |_| {});
    let id = running.some_id();
    let codes = BTreeMap::from([
        (401, Some("UNAUTHORIZED")),
        (403, Some("FORBIDDEN")),
        (404, Some("SESSION_NOT_FOUND")),
        (405, Some("INVALID_REQUEST")),
        (429, Some("RATE_LIMIT_EXCEEDED")),
        (500, Some("INTERNAL_ERROR")),
        (502, None),
        (503, Some("INTERNAL_ERROR")),
        (504, None),
    ]);
    for (status, code) in codes {
        running.set_fault(FaultKind::Status(status));
        let answer = client.session(&id).await;
        assert_eq!((answer.date, answer.rate_limit.limit.is_some()), (None, true), "{status}");
        let error = answer.result.unwrap_err();
        // The simulator's gateway answers HTML for 502 and 504: there the id is from the header.
        assert!(error.request_id().is_some_and(|id| id.starts_with("req_")), "{error}");
        let retry_after = (status == 429).then_some(Duration::from_secs(1));
        let request_id = error.request_id().map(str::to_owned);
        assert_eq!(error, ApiError::Status { status, code: code.map(str::to_owned), request_id, retry_after });
    }
    for (kind, error) in [
        (FaultKind::Truncate, ApiError::Body("cut off".into())),
        (FaultKind::Huge, ApiError::Body("longer than 4 MiB".into())),
        (FaultKind::Drop, ApiError::Connect("the connection was closed before an answer".into())),
    ] {
        running.set_fault(kind);
        assert_eq!(client.session(&id).await.result, Err(error), "{kind:?}");
    }
    // These are for whoever reads the body.
    for kind in [FaultKind::HalfBody, FaultKind::Garbage, FaultKind::WrongTypes, FaultKind::UnknownEnums] {
        running.set_fault(kind);
        assert!(client.session(&id).await.result.is_ok(), "{kind:?}");
    }
    running.set_fault(FaultKind::Delay(60_000));
    let hasty = running.client(DEFAULT_KEY, |options| options.timeout = Duration::from_millis(50));
    assert_eq!(hasty.session(&id).await.result, Err(ApiError::Timeout));
}

#[tokio::test]
async fn one_call_is_one_request() {
    let running = Running::new(|config| config.rate_limit = Some(1)).await;
    let client = running.client(DEFAULT_KEY, |_| {});
    assert!(client.agents(1).await.result.is_ok());
    let limited = client.agents(1).await;
    assert_eq!(status_of(&limited), Some(429));
    assert_eq!((limited.rate_limit.remaining, limited.date), (Some(0), None));
    assert!(limited.result.unwrap_err().retry_after().is_some_and(|wait| wait <= Duration::from_secs(60)));
    running.set_fault(FaultKind::Drop);
    let _ = client.agents(1).await;
    assert_eq!(running.simulator.requests().len(), 3);
    for nowhere in ["", ".", ".."] {
        assert_eq!(client.session(nowhere).await.result, Err(ApiError::Id));
    }
    assert_eq!(running.simulator.requests().len(), 3, "and an impossible one is none");
}

#[tokio::test]
async fn strange_ids_reach_the_session_route_as_they_are() {
    let running = Running::new(|_| {}).await;
    let client = running.client(DEFAULT_KEY, |_| {});
    for id in ["a/b", "../agents", "...", "a?limit=1#x", "%2e%2e", "é \u{1}"] {
        let error = client.session(id).await.result.unwrap_err();
        assert!(
            matches!(&error, ApiError::Status { status: 404, code: Some(code), .. } if code == "SESSION_NOT_FOUND")
        );
    }
    let asked = running.simulator.requests();
    assert!(asked.iter().all(|request| request.route == simulator::Route::Session), "{asked:?}");
}

#[tokio::test]
async fn refused_listing_keeps_its_status() {
    let running = Running::new(|config| config.listing_refused = Some(405)).await;
    let client = running.client(DEFAULT_KEY, |_| {});
    let answer = client.list(&ListQuery { created_after: None, open_only: false, page: 1, limit: 100 }).await;
    assert_eq!(status_of(&answer), Some(405));
}

#[tokio::test]
async fn wrong_key_is_401_and_missing_scope_is_403() {
    let running = Running::new(|_| {}).await;
    for (key, status) in [(DEFAULT_KEY, None), (NO_SCOPE_KEY, Some(403)), ("pk_test_wrong", Some(401))] {
        let answer = running.client(key, |_| {}).agents(1).await;
        assert_eq!(status_of(&answer), status, "{key}");
    }
}

#[tokio::test]
async fn new_credential_is_read_after_a_401() {
    let running = Running::new(|_| {}).await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("credential");
    for bearer in [false, true] {
        let _ = std::fs::remove_file(&path);
        let client = || {
            let file = path.clone();
            let place = if bearer { CredentialPlace::BearerTokenFile(file) } else { CredentialPlace::KeyFile(file) };
            running.client_of(place, |_| {})
        };
        let missing = client().agents(1).await.result.unwrap_err();
        assert_eq!(missing.code_label(), "credential");
        std::fs::write(&path, "pk_test_deleted").unwrap();
        let client = client();
        assert_eq!(status_of(&client.agents(1).await), Some(401));
        std::fs::write(&path, format!("{DEFAULT_KEY}\n")).unwrap();
        assert!(client.agents(1).await.result.is_ok());
        let shown = format!("{client:?} {}", client.credential_name());
        assert!(!shown.contains("pk_test") && shown.contains(path.to_str().unwrap()), "{shown}");
    }
}
