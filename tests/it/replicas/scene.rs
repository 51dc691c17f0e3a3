//! Two replicas on a database that something is about to happen to, and what must be true of them afterwards.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use simulator::{Clock as _, SimulatorConfig, SystemClock};
use test_postgres::Server;

use super::{receiving, replica};
use crate::support::{Api, Daemon, durable, free_address, until};
use crate::webhook::delivery::{Sent, session};

/// Two replicas that take deliveries, while sessions end.
pub struct Scene {
    api: Api,
    pub replicas: [Daemon; 2],
    pub webhooks: [SocketAddr; 2],
    /// So many lines has each replica logged before the fault.
    logged: [usize; 2],
    /// Deliveries that were answered 2xx.
    pub taken: usize,
}

impl Scene {
    pub fn begin(server: &Server, directory: &Path, sessions: u64) -> Self {
        let start = SystemClock.now().minus(Duration::from_secs(100));
        let api = Api::start(SimulatorConfig::load(start, 4.0, 400 + sessions));
        let url = format!("postgres://exporter@127.0.0.1:{}/postgres", server.port());
        let webhooks = [(); 2].map(|()| free_address());
        let start = |webhook| receiving(replica(api.address, &url, directory), webhook).start();
        let mut scene = Self { replicas: webhooks.map(start), api, webhooks, logged: [0; 2], taken: 0 };
        scene.go_on("the start");
        scene
    }

    /// Notes what was logged before a fault.
    pub fn mark(&mut self) {
        self.logged = self.replicas.each_ref().map(|replica| replica.log().lines().count());
    }

    /// Complaints of a replica since the fault.
    pub fn complaints(&self, replica: usize) -> Vec<String> {
        let log = self.replicas[replica].log();
        let lines = log.lines().skip(self.logged[replica]);
        lines.filter(|line| line.contains("level=error") || line.contains("level=warn")).map(str::to_owned).collect()
    }

    /// The delivery that was deferred before is taken, whichever replica gets it, and each page is served.
    pub fn go_on(&mut self, what: &str) {
        let sent = self.next();
        for webhook in self.webhooks {
            until(what, || (sent.send(webhook).status == 200).then_some(()));
        }
        self.taken += 1;
        for replica in &self.replicas {
            until(what, || (replica.try_get("/metrics")?.0 == 200).then_some(()));
            let is_well = || replica.samples_if_any().get("agntix_exporter_state_writable") == Some(&1.0);
            until("no failure to be reported any more", || is_well().then_some(()));
        }
    }

    pub fn next(&self) -> Sent {
        Sent::new(session("session.ended", &format!("delivered-{}", self.taken), true))
    }

    /// All sessions were counted, and those that were delivered as well, each once.
    pub fn ends(&self) {
        for replica in &self.replicas {
            until("all to be counted", || {
                let (delivered, others): (BTreeMap<_, _>, BTreeMap<_, _>) = durable(&replica.samples_if_any())
                    .into_iter()
                    .partition(|(name, _)| name.contains("agent_id=\"agent-1\""));
                let ended = delivered.iter().filter(|(name, _)| name.starts_with("agntix_sessions_ended_total"));
                let ended: f64 = ended.map(|(_, value)| value).sum();
                let taken = f64::from(u32::try_from(self.taken).unwrap());
                assert!(ended <= taken, "{ended} of {taken} deliveries were counted");
                (ended.total_cmp(&taken).is_eq() && others == self.api.truth()).then_some(())
            });
        }
    }
}
