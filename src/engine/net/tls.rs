//! TLS over a TCP connection, for a host that has no proxy in front.
//!
//! Owns what TLS needs beside the socket, and the one rule that keeps the engine's books right over
//! it: bytes that are encrypted and not yet with the kernel count as unsent, all of them by their
//! last one. So an outbox is empty only when the kernel has everything, a frame that is half on its
//! way is never replaced, and a slow reader shows as one. At most a record waits here. What TLS says
//! of itself (a handshake's answer, a ticket, the end) leaves with the next read or
//! [`Stream::flush`], and an answer that is there before the handshake is done leaves after it.

use std::fmt;
use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;

use mio::net::TcpStream;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::{ServerConfig, ServerConnection};

use super::Stream;
use super::mio::send_slices;

/// Bytes that are encrypted at a time and may wait here: one record (RFC 8446, section 5.1).
const RECORD_BYTES: usize = 1 << 14;

/// A certificate with its key, as a server shows it.
#[derive(Clone)]
pub struct Identity {
    config: Arc<ServerConfig>,
    /// Bytes of the certificate and those behind it, which each handshake sends.
    chain_bytes: usize,
}

impl fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Identity")
    }
}

impl Identity {
    /// What the PEM texts of a certificate, with those that vouch for it behind it, and of its
    /// private key (PKCS #8, PKCS #1 or SEC 1) make.
    ///
    /// # Errors
    /// What is wrong with them, in words that end a sentence.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Identity, String> {
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<_, _>>()
            .map_err(|error| format!("the certificate cannot be read: {error}"))?;
        if chain.is_empty() {
            return Err("the certificate's file has no CERTIFICATE block".to_owned());
        }
        let chain_bytes = chain.iter().map(|certificate| certificate.len()).sum();
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|error| format!("the key cannot be read: {error}"))?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|error| format!("the key does not go with the certificate: {error}"))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // Who comes again shows a ticket, which is not kept here: pages that come back after a
        // restart of the network do not each cost a signature.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer =
            ring::Ticketer::new().map_err(|error| format!("there is no randomness: {error}"))?;
        config.send_tls13_tickets = 1;
        Ok(Identity { config: Arc::new(config), chain_bytes })
    }

    /// Bytes that a connection holds at most beside its place: a message of the handshake (64 KiB)
    /// or a record that is half here, as much plaintext, one record that waits to be sent or the
    /// certificate, and the session.
    pub(super) fn stream_memory_ceiling(&self) -> usize {
        size_of::<TlsStream>() + (64 << 10) + 4 * RECORD_BYTES + (16 << 10) + self.chain_bytes
    }

    /// Takes over a connection whose peer has said nothing yet.
    pub(super) fn accept(&self, socket: TcpStream) -> io::Result<TlsStream> {
        let mut session =
            ServerConnection::new(Arc::clone(&self.config)).map_err(io::Error::other)?;
        session.set_buffer_limit(Some(RECORD_BYTES));
        Ok(TlsStream { socket, session, is_owed: false, end: End::Open })
    }
}

/// A TCP connection that speaks TLS.
pub struct TlsStream {
    pub(super) socket: TcpStream,
    session: ServerConnection,
    /// Whether the next byte to be written is encrypted already, the last of what still waits.
    is_owed: bool,
    end: End,
}

/// How far the end of what we say has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// There is more to come.
    Open,
    /// There is not, and TLS has yet to say so: the handshake is not done, and what is to be said
    /// waits for it.
    Wanted,
    /// TLS has said so; the socket's own end follows when all of it is with the kernel.
    Said,
    /// The socket has been shut.
    Done,
}

impl TlsStream {
    /// Sends what waits, all of it or until the kernel takes no more.
    fn send(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut Wire(&self.socket)) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Encrypts from `slices`, but for a first byte that is encrypted already; how many bytes.
    fn encrypt(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut writer = self.session.writer();
        let Some((first, others)) = slices.split_first().filter(|_| self.is_owed) else {
            return writer.write_vectored(slices);
        };
        let rest = first.get(1..).unwrap_or_default();
        let begun = writer.write(rest)?;
        if begun < rest.len() || others.is_empty() {
            return Ok(begun);
        }
        Ok(begun + writer.write_vectored(others)?)
    }
}

impl Stream for TlsStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.session.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // Without the peer's word that this is the end: HTTP and WebSocket have their own.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                result => return result,
            }
            self.session.read_tls(&mut Wire(&self.socket))?;
            let processed = self.session.process_new_packets();
            // The handshake's answer, or why there is none: an alert.
            self.flush()?;
            processed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        }
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.send()?;
        let encrypted = self.encrypt(slices)?;
        let taken = encrypted + usize::from(self.is_owed);
        self.is_owed = false;
        match self.send() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.is_owed = true;
                if taken > 1 { Ok(taken - 1) } else { Err(error) }
            }
            result => result.map(|()| taken),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.end == End::Wanted && !self.session.is_handshaking() {
            self.session.send_close_notify();
            self.end = End::Said;
        }
        match self.send() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            result => result?,
        }
        if self.end == End::Said {
            self.end = End::Done;
            self.socket.shutdown(Shutdown::Write)?;
        }
        Ok(())
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.end = End::Wanted;
        self.flush()
    }

    fn take_error(&mut self) -> Option<io::Error> {
        self.socket.take_error().unwrap_or_else(Some)
    }
}

/// The socket, for what is encrypted.
struct Wire<'a>(&'a TcpStream);

impl Read for Wire<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut socket = self.0;
        socket.read(buffer)
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        send_slices(self.0, slices, super::mio::TCP_FLAGS)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream as StdTcpStream};

    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, ClientConnection, RootCertStore};

    use super::*;

    const CERTIFICATE: &[u8] = include_bytes!("../../../tests/fixtures/tls/certificate.pem");
    const KEY: &[u8] = include_bytes!("../../../tests/fixtures/tls/key.pem");
    const OTHER_KEY: &[u8] = include_bytes!("../../../tests/fixtures/tls/other_key.pem");

    /// A server's end and a client's, that has sent nothing and waits for nothing.
    fn pair() -> (TlsStream, ClientConnection, StdTcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = StdTcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        for socket in [&socket, &accepted] {
            socket.set_nonblocking(true).unwrap();
        }
        let identity = Identity::from_pem(CERTIFICATE, KEY).unwrap();
        let server = identity.accept(TcpStream::from_std(accepted)).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(CERTIFICATE).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let client = ClientConnection::new(Arc::new(config), name).unwrap();
        (server, client, socket)
    }

    /// What the client has been sent, as far as it is there.
    fn pull(client: &mut ClientConnection, mut socket: &StdTcpStream) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            while client.wants_write() && client.write_tls(&mut socket).is_ok() {}
            let read = client.read_tls(&mut socket);
            client.process_new_packets().expect("the server speaks TLS");
            let _ = client.reader().read_to_end(&mut bytes);
            if !matches!(read, Ok(length) if length > 0) {
                return bytes;
            }
        }
    }

    fn shake_hands(server: &mut TlsStream, client: &mut ClientConnection, socket: &StdTcpStream) {
        while client.is_handshaking() || server.session.is_handshaking() {
            pull(client, socket);
            let read = server.read(&mut [0; 16]);
            assert_eq!(read.unwrap_err().kind(), io::ErrorKind::WouldBlock);
        }
    }

    #[test]
    fn what_is_written_arrives_and_counts_as_written_once_the_kernel_has_it_all() {
        let (mut server, mut client, socket) = pair();
        shake_hands(&mut server, &mut client, &socket);
        let bytes: Vec<u8> = (0..20_000_000_u32).map(|number| (number % 251) as u8).collect();
        let (mut written, mut received, mut blocked) = (0, Vec::new(), 0);
        while written < bytes.len() {
            let rest = &bytes[written..];
            let (one, other) = rest.split_at(rest.len().min(3));
            match server.write_vectored(&[IoSlice::new(one), IoSlice::new(other)]) {
                Ok(length) => {
                    assert!(length > 0);
                    written += length;
                }
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                    assert!(server.session.wants_write() && server.is_owed);
                    blocked += 1;
                    received.extend(pull(&mut client, &socket));
                }
            }
        }
        assert!(blocked > 0, "the kernel has taken everything at once");
        assert!(!server.session.wants_write(), "what counts as written is with the kernel");
        while received.len() < bytes.len() {
            received.extend(pull(&mut client, &socket));
        }
        assert!(received == bytes);
    }

    #[test]
    fn an_answer_before_the_handshake_and_the_end_after_it_come_behind_it() {
        let (mut server, mut client, socket) = pair();
        assert_eq!(server.write_vectored(&[IoSlice::new(b"there is no room")]).unwrap(), 16);
        server.shutdown_write().unwrap();
        let mut received = Vec::new();
        while server.end != End::Done {
            received.extend(pull(&mut client, &socket));
            let _ = server.read(&mut [0; 16]);
        }
        received.extend(pull(&mut client, &socket));
        assert_eq!(received, b"there is no room");
        assert_eq!(client.reader().read(&mut [0; 16]).unwrap(), 0, "the end is said");
    }

    #[test]
    fn the_end_is_said_to_a_peer_that_reads_late_too() {
        let (mut server, mut client, socket) = pair();
        shake_hands(&mut server, &mut client, &socket);
        let bytes = vec![b'x'; 1 << 20];
        let mut written = 0;
        while let Ok(length) = server.write_vectored(&[IoSlice::new(&bytes)]) {
            written += length;
        }
        // The last byte of a record that the kernel has not: as a connection that is given up.
        server.shutdown_write().unwrap();
        assert!(server.end == End::Said, "the kernel has room for what was to fill it");
        let mut received = 0;
        while server.end != End::Done {
            received += pull(&mut client, &socket).len();
            server.flush().unwrap();
        }
        received += pull(&mut client, &socket).len();
        assert!(received > written);
        assert_eq!(client.reader().read(&mut [0; 16]).unwrap(), 0, "the end is said");
    }

    #[test]
    fn the_end_comes_with_a_word_or_without() {
        for says_so in [true, false] {
            let (mut server, mut client, mut socket) = pair();
            shake_hands(&mut server, &mut client, &socket);
            client.writer().write_all(b"last words").unwrap();
            if says_so {
                client.send_close_notify();
            }
            while client.wants_write() {
                client.write_tls(&mut socket).unwrap();
            }
            pull(&mut client, &socket);
            socket.shutdown(Shutdown::Write).unwrap();
            let mut buffer = [0; 4];
            let mut read: Vec<u8> = Vec::new();
            loop {
                match server.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(length) => read.extend(&buffer[..length]),
                    Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
                }
            }
            assert_eq!(read, b"last words");
        }
    }

    #[test]
    fn who_does_not_speak_tls_is_an_error_and_told() {
        let (mut server, _, mut socket) = pair();
        socket.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        let error = loop {
            match server.read(&mut [0; 16]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => break error,
                Ok(length) => panic!("{length} bytes of what was no TLS"),
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        socket.set_nonblocking(false).unwrap();
        let mut alert = [0; 7];
        socket.read_exact(&mut alert).unwrap();
        assert_eq!(alert[0], 21, "an alert (RFC 8446, section 5.1)");
    }

    #[test]
    fn a_certificate_or_a_key_that_is_none_is_told() {
        for (certificate, key, told) in [
            (&b"no PEM"[..], KEY, "the certificate's file has no CERTIFICATE block"),
            (CERTIFICATE, &b"no PEM"[..], "the key cannot be read: "),
            (KEY, KEY, "the certificate's file has no CERTIFICATE block"),
            (CERTIFICATE, CERTIFICATE, "the key cannot be read: "),
            (CERTIFICATE, OTHER_KEY, "the key does not go with the certificate: "),
        ] {
            let error = Identity::from_pem(certificate, key).unwrap_err();
            assert!(error.starts_with(told), "{error}");
        }
    }
}
