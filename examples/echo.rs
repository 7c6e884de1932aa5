//! An echo server on the engine: any path, messages up to 16 MiB, compressed to those who offer it.
//! Knows nothing of metrics.
//!
//! `cargo run --release --example echo 127.0.0.1:9001`

use std::error::Error;

use vitald::engine::Engine;
use vitald::engine::clock::Monotonic;
use vitald::engine::connection::frame::{Frame, Kind};
use vitald::engine::connection::head::Request;
use vitald::engine::handle::Handle;
use vitald::engine::handler::{Answer, Context, Handler, Message};
use vitald::engine::limits::Limits;
use vitald::engine::net::{ListenAddress, MioNet};

struct Echo;

impl Handler for Echo {
    fn request(&mut self, _: &mut Context<'_>, _: Handle, _: &Request<'_>) -> Answer {
        Answer::Upgrade { protocol: None }
    }

    fn message(&mut self, context: &mut Context<'_>, handle: Handle, message: Message<'_>) {
        let (kind, payload) = match message {
            Message::Text(text) => (Kind::Text, text.as_bytes()),
            Message::Binary(bytes) => (Kind::Binary, bytes),
        };
        let mut frame = Frame::new(kind, |bytes| bytes.extend_from_slice(payload));
        if context.envelope(handle).is_some_and(|envelope| envelope.deflates(payload.len())) {
            frame = context.deflated(&frame);
        }
        context.reply(handle, frame);
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).ok_or("usage: echo ADDRESS:PORT")?.parse()?;
    let limits = Limits {
        message_bytes_max: 16 << 20,
        // One echo with its header may wait while the next message is answered.
        reply_bytes_max: 2 * ((16 << 20) + 10),
        ..Limits::default()
    };
    let mut engine = Engine::with_parts(limits, MioNet::new()?, Monotonic::new(), Echo)?;
    let bound = engine.net_mut().listen(&ListenAddress::Tcp(address))?;
    println!("echo listening on ws://{bound}/");
    loop {
        engine.turn(None)?;
    }
}
