//! One HTTP/2 connection over a blocking socket: what `h2_server` and `h2_client` share.

#![allow(dead_code)] // each program uses a part of it

use grpclb::core::http2::{Config, Connection, ConnectionError, Event};
use grpclb::core::memory::{Boxed, Sizes};
use grpclb::core::time::Instant;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

/// Why a connection ended.
#[derive(Debug)]
pub(crate) enum End {
    /// Both sides are done.
    Done,
    /// The peer closed the socket, or it failed.
    Socket(std::io::Error),
    /// The peer broke the protocol, or said that we did.
    Protocol(ConnectionError),
    /// Nothing came for so long.
    TimedOut,
}

/// A connection and its socket.
pub(crate) struct Wire {
    pub(crate) connection: Connection<Boxed>,
    socket: TcpStream,
    began: std::time::Instant,
    input: Vec<u8>,
}

impl Wire {
    pub(crate) fn new(socket: TcpStream, config: &Config) -> std::io::Result<Wire> {
        socket.set_nodelay(true)?;
        let connection = Connection::new(Boxed::new(&Sizes::default()), config, Instant::default());
        Ok(Wire { connection, socket, began: std::time::Instant::now(), input: vec![0; 65_536] })
    }

    pub(crate) fn now(&self) -> Instant {
        Instant::default().after(self.began.elapsed())
    }

    /// Sends what there is, waits for input up to `patience` unless that has made room for more to send, and hands
    /// events to `handle` as they come; commands are for after `turn`.
    pub(crate) fn turn(
        &mut self,
        patience: Duration,
        mut handle: impl FnMut(Event<'_, '_>),
    ) -> Result<(), End> {
        self.flush()?;
        if self.connection.is_closed() {
            return Err(End::Done);
        }
        if self.poll(&mut handle) {
            return Ok(());
        }
        let now = self.now();
        let due = self.connection.poll_timeout().map_or(patience, |at| at.since(now).min(patience));
        // The system takes 0 for "for ever".
        self.socket.set_read_timeout(Some(due.max(Duration::from_millis(1)))).map_err(End::Socket)?;
        let n = match self.socket.read(&mut self.input) {
            Ok(0) => return Err(End::Socket(ErrorKind::UnexpectedEof.into())),
            Ok(n) => n,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                let now = self.now();
                if self.connection.poll_timeout().is_some_and(|at| at <= now) {
                    let result = self.connection.handle_timeout(now);
                    return result.map_err(|error| self.fail(error));
                }
                return Err(End::TimedOut);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            Err(error) => return Err(End::Socket(error)),
        };
        let (now, mut input) = (self.now(), &self.input[..n]);
        while !input.is_empty() {
            match self.connection.recv(now, &mut input) {
                Ok(Some(event)) => handle(event),
                Ok(None) => {}
                Err(error) => return Err(self.fail(error)),
            }
        }
        self.poll(&mut handle);
        Ok(())
    }

    /// Events that are not made by input; whether there were any.
    fn poll(&mut self, handle: &mut impl FnMut(Event<'_, '_>)) -> bool {
        let mut any = false;
        while let Some(event) = self.connection.poll_event() {
            handle(event);
            any = true;
        }
        any
    }

    /// Writes all that waits.
    pub(crate) fn flush(&mut self) -> Result<(), End> {
        loop {
            let now = self.now();
            let bytes = self.connection.transmit(now);
            if bytes.is_empty() {
                return Ok(());
            }
            match self.socket.write(bytes) {
                Ok(n) => self.connection.transmitted(n),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(End::Socket(error)),
            }
        }
    }

    fn fail(&mut self, error: ConnectionError) -> End {
        self.close();
        End::Protocol(error)
    }

    /// Sends what there is (a GOAWAY, say) and no more. What the peer still sends is read for a moment, or the system
    /// would answer it by a reset that takes along what we have sent.
    pub(crate) fn close(&mut self) {
        let until = std::time::Instant::now() + Duration::from_secs(1);
        if self.flush().is_ok() && self.socket.shutdown(Shutdown::Write).is_ok() {
            let patience = Some(Duration::from_millis(100));
            while self.socket.set_read_timeout(patience).is_ok()
                && matches!(self.socket.read(&mut self.input), Ok(1..))
                && std::time::Instant::now() < until
            {}
        }
    }
}
