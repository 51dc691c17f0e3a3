//! An exporter of one metric, with the flags of every Prometheus exporter.
//!
//! `cargo run -p exporter-web --example exporter -- --web.listen-address=:9100 --web.config.file=web.yml`

use std::path::PathBuf;
use std::sync::Arc;

use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use axum::{Extension, Router};
use clap::Parser;
use exporter_web::{Access, Scraped, Server, WebConfigFile};
use prometheus::{TEXT_FORMAT, TextEncoder};
use tokio_util::sync::CancellationToken;

#[derive(Parser)]
struct Flags {
    #[arg(long = "web.listen-address", default_value = ":9100")]
    listen_addresses: Vec<String>,
    #[arg(long = "web.config.file")]
    web_config_file: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let flags = Flags::parse();
    let file = Arc::new(flags.web_config_file.as_deref().map_or(Ok(WebConfigFile::none()), WebConfigFile::load)?);
    for warning in file.warnings() {
        eprintln!("{warning}");
    }
    let mut listeners = Vec::new();
    for address in &flags.listen_addresses {
        listeners.push(exporter_web::bind(address).await?);
    }

    let scrapes = prometheus::register_int_counter!("example_scrapes_total", "Scrapes that were answered.")?;
    let metrics = move || async move {
        scrapes.inc();
        let page = TextEncoder::new().encode_to_string(&prometheus::gather());
        (Extension(Scraped), [(CONTENT_TYPE, TEXT_FORMAT)], page.unwrap_or_default())
    };

    let stop = CancellationToken::new();
    tokio::spawn(Arc::clone(&file).watch(|_| (), stop.clone()));
    let routes = Router::new().route("/metrics", get(metrics));
    let server = tokio::spawn(Server::new(routes).with_access(Access::guarded(file)).serve(listeners, stop.clone()));
    tokio::signal::ctrl_c().await?;
    stop.cancel();
    Ok(server.await?)
}
