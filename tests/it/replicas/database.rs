//! The database of a schedule, and the network before it: a server alone, one behind `PgBouncer`, or a primary with a synchronous
//! standby that is promoted when the primary is killed.

use test_postgres::{Bouncer, Server};

use super::link::{Flow, Link};

/// How the database is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One server.
    Alone,
    /// One server behind `PgBouncer`, which gives each transaction another connection.
    Pooled,
    /// A primary and its synchronous standby.
    Replicated,
}

pub struct Database {
    primary: Server,
    standby: Option<Server>,
    _bouncer: Option<Bouncer>,
    /// Of each replica one to each of the places of a server.
    links: Vec<Vec<Link>>,
    /// At which of the places the primary is.
    place: usize,
}

impl Database {
    pub fn start(kind: Kind, replicas: usize) -> Self {
        let primary = Server::start();
        let standby = (kind == Kind::Replicated).then(|| primary.synchronous_standby());
        let bouncer = (kind == Kind::Pooled).then(|| Bouncer::start(&primary, 6));
        let first = bouncer.as_ref().map_or(primary.port(), Bouncer::port);
        let ports = [Some(first), standby.as_ref().map(Server::port)];
        let links = (0..replicas).map(|_| ports.iter().flatten().map(|port| Link::to(*port)).collect()).collect();
        Self { primary, standby, _bouncer: bouncer, links, place: 0 }
    }

    /// What a replica is given.
    pub fn url(&self, replica: usize) -> String {
        let hosts: Vec<_> = self.links[replica].iter().map(|link| format!("127.0.0.1:{}", link.port)).collect();
        format!("postgres://postgres@{}/postgres?target_session_attrs=read-write", hosts.join(","))
    }

    pub fn set(&self, replica: usize, flow: Flow) {
        self.links[replica].iter().for_each(|link| link.set(flow));
    }

    pub fn cut(&self, replica: usize) {
        self.links[replica].iter().for_each(Link::cut);
    }

    /// Ends about half of the server's connections, whosever they are.
    pub fn terminate_some(&self) {
        self.primary.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND random() < 0.5",
        );
    }

    /// Kills the primary. Its standby is promoted and gets a standby of its own; without one the server is started again.
    pub fn fail(&mut self) {
        self.primary.kill();
        let Some(standby) = self.standby.take() else {
            self.primary.restart();
            return;
        };
        standby.promote();
        self.primary = standby;
        let next = self.primary.synchronous_standby();
        for links in &self.links {
            links[self.place].lead_to(next.port());
        }
        self.place = 1 - self.place;
        self.standby = Some(next);
    }

    /// What the server answers to a query.
    pub fn sql(&self, query: &str) -> String {
        self.primary.sql(query)
    }
}
