//! A simulator on a listener.

use std::sync::Arc;

use axum::serve::ListenerExt as _;
use axum::{Extension, Router};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::deliveries::send;
use crate::routes;
use crate::simulator::Simulator;

impl Simulator {
    /// The API's routes, and the simulator's own under `/simulator/`.
    pub fn router(self: Arc<Self>) -> Router {
        routes::router(self)
    }

    /// Serves, and delivers webhooks, until `shutdown` is cancelled.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, shutdown: CancellationToken) -> std::io::Result<()> {
        // Answers are small; waiting to fill a packet would only slow the client down.
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        let stop = shutdown.child_token();
        let _stop_deliveries = stop.clone().drop_guard();
        tokio::spawn(send::run(Arc::clone(&self), stop));
        // Event streams end with the server; they would keep it from stopping.
        let router = self.router().layer(Extension(shutdown.clone()));
        axum::serve(listener, router).with_graceful_shutdown(shutdown.cancelled_owned()).await
    }
}
