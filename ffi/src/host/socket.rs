//! One non-blocking socket of any kind: TCP or Unix. TLS takes its place here as a third kind that wraps one
//! of them, so that nothing above this file knows the difference.

use grpclb_core::balancer::Address;
use mio::event::Source;
use mio::net::TcpStream;
#[cfg(unix)]
use mio::net::UnixStream;
use mio::{Interest, Registry, Token};
use std::io::{self, Read, Write};
use std::net::Shutdown;

/// A stream socket, non-blocking.
#[derive(Debug)]
pub(crate) enum Socket {
    /// TCP over IPv4 or IPv6.
    Tcp(TcpStream),
    /// A Unix socket, by path or abstract name.
    #[cfg(unix)]
    Unix(UnixStream),
}

/// Runs the same expression over whichever socket it is.
macro_rules! each {
    ($self:expr, $socket:ident => $body:expr) => {
        match $self {
            Socket::Tcp($socket) => $body,
            #[cfg(unix)]
            Socket::Unix($socket) => $body,
        }
    };
}

impl Socket {
    /// Begins to connect. The first writable event says that [`Socket::connected`] is worth asking.
    pub(crate) fn connect(address: &Address<'_>) -> io::Result<Socket> {
        match *address {
            Address::Ip(address) => {
                let socket = TcpStream::connect(address)?;
                Socket::accepted_tcp(socket)
            }
            Address::Unix(path) => connect_unix(path),
            Address::Other(text) => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("no socket goes to {:?}", String::from_utf8_lossy(text)),
            )),
        }
    }

    /// A TCP socket that `accept` gave.
    pub(crate) fn accepted_tcp(socket: TcpStream) -> io::Result<Socket> {
        // Messages are written whole: waiting for more (Nagle) only delays them.
        socket.set_nodelay(true)?;
        Ok(Socket::Tcp(socket))
    }

    /// A Unix socket that `accept` gave.
    #[cfg(unix)]
    pub(crate) fn accepted_unix(socket: UnixStream) -> Socket {
        Socket::Unix(socket)
    }

    /// Whether a connection that was begun stands; `Ok(false)`: not yet.
    pub(crate) fn connected(&self) -> io::Result<bool> {
        if let Some(error) = each!(self, socket => socket.take_error())? {
            return Err(error);
        }
        match each!(self, socket => socket.peer_addr().map(drop)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
            // BSDs say EINVAL when the peer has gone already; reading tells why.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// No more will be written; what was written still arrives.
    pub(crate) fn shutdown_write(&self) {
        // It may be closed by the peer already, and then there is nothing to shut down.
        let _ = each!(self, socket => socket.shutdown(Shutdown::Write));
    }
}

#[cfg(unix)]
fn connect_unix(path: &[u8]) -> io::Result<Socket> {
    use std::os::unix::ffi::OsStrExt;
    if let Some((0, name)) = path.split_first().map(|(first, rest)| (*first, rest)) {
        return connect_abstract(name);
    }
    UnixStream::connect(std::path::Path::new(std::ffi::OsStr::from_bytes(path))).map(Socket::Unix)
}

#[cfg(not(unix))]
fn connect_unix(_path: &[u8]) -> io::Result<Socket> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "Unix sockets are not supported on this system"))
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn connect_abstract(name: &[u8]) -> io::Result<Socket> {
    use std::os::linux::net::SocketAddrExt;
    let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
    UnixStream::connect_addr(&address).map(Socket::Unix)
}

#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
fn connect_abstract(_name: &[u8]) -> io::Result<Socket> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "abstract Unix sockets exist on Linux only"))
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        each!(self, socket => socket.read(buffer))
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        each!(self, socket => socket.write(bytes))
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Source for Socket {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        each!(self, socket => socket.register(registry, token, interests))
    }
    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        each!(self, socket => socket.reregister(registry, token, interests))
    }
    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        each!(self, socket => socket.deregister(registry))
    }
}
