//! What the routes need of the rest of the daemon.

use std::sync::Arc;

use exporter_web::WebConfigFile;
use tokio::sync::mpsc;

use crate::catalogue::Exposition;
use crate::clock::Clock;
use crate::ledger::postgres::PageReader;
use crate::lifecycle::ReloadRequest;
use crate::recent::Recent;
use crate::status::Status;

/// The daemon, as the routes see it.
#[derive(Clone)]
pub struct WebState {
    /// The pages of `/metrics`.
    pub exposition: Arc<Exposition>,
    /// What the landing page shows of the agents.
    pub recent: Arc<Recent>,
    /// What the landing page and readiness say.
    pub status: Arc<Status>,
    /// Where requests to reload go.
    pub reload: mpsc::Sender<ReloadRequest>,
    /// For "so long ago" on the landing page.
    pub clock: Arc<dyn Clock>,
    /// The listener's web configuration file, for what the landing page says of encryption and users.
    pub security: Arc<WebConfigFile>,
    /// Whether the pages are current, where several replicas serve them; a single daemon's always are.
    pub replica: Option<PageReader>,
}
