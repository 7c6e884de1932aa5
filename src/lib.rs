//! A live view of one host's vital signs: a single-threaded server without an async runtime.
//!
//! Three wings, one direction. [`engine`] is an HTTP and WebSocket engine that knows nothing of
//! metrics: a mio poll loop, a table of connection state machines, an explicit timer wheel.
//! [`metrics`] is what is measured and knows nothing of sockets. [`app`] joins the two and is
//! vitald. The binary adds arguments, a logger and signals, and by [`service`] it gets on with the
//! service manager that has started it. [`protocol`] is what a client has to know.
//!
//! # Embedding
//!
//! ```no_run
//! use vitald::{Config, Server};
//!
//! let mut server = Server::bind(&Config::default())?;
//! for address in server.addresses() {
//!     println!("vitald listening on {address}");
//! }
//! server.run()?; // or server.turn(..) from a loop of your own
//! # Ok::<(), vitald::Error>(())
//! ```
//!
//! # Limits
//!
//! Everything that peers can make the server hold is bounded when it starts
//! ([`engine::limits::Limits`]) and adds up to one number,
//! [`memory_ceiling`](engine::Engine::memory_ceiling). Beyond a limit there is a clear refusal,
//! never growth.

pub mod app;
pub mod cli;
pub mod config;
pub mod engine;
pub mod metrics;
pub mod protocol;
pub mod service;
mod spelling;
pub mod watch;

pub use app::server::{Error, Server};
pub use config::Config;
pub use engine::Turn;
