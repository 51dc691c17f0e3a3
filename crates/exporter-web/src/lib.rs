#![doc = include_str!("../README.md")]

mod access;
mod connections;
mod listener;
mod panics;
mod scrape;
mod server;
mod stamp;
mod text;
mod web_config;
mod write_deadline;

pub use access::Access;
pub use listener::{ListenError, adopt, bind, take_systemd_sockets};
pub use scrape::{Origin, ScrapeSlot, ScrapeSlots, Scraped};
pub use server::{Server, ServerOptions};
pub use web_config::{WebConfigError, WebConfigFile};
