//! The listening socket: TCP or Unix.

use crate::host::socket::Socket;
use mio::event::Source;
use mio::net::TcpListener;
#[cfg(unix)]
use mio::net::UnixListener;
use mio::{Interest, Registry, Token};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

/// A socket that accepts.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix {
        listener: UnixListener,
        /// Kept for its end.
        _file: Option<File>,
    },
}

/// The file of a Unix socket; removed with it.
#[cfg(unix)]
#[derive(Debug)]
pub(crate) struct File {
    path: std::path::PathBuf,
}

impl Listener {
    /// Listens at `ip:port`, `[ip]:port`, `host:port`, `:port` (every interface), `unix:path` or
    /// `unix-abstract:name`.
    pub(crate) fn bind(address: &str) -> io::Result<Listener> {
        if let Some(path) = address.strip_prefix("unix:") {
            // unix:///absolute/path, as in targets
            return bind_unix(path.strip_prefix("//").unwrap_or(path));
        }
        if let Some(name) = address.strip_prefix("unix-abstract:") {
            return bind_abstract(name);
        }
        if let Some(port) = address.strip_prefix(':') {
            let v4 = format!("0.0.0.0:{port}");
            // [::] takes IPv4 as well, where the system has IPv6 at all.
            return bind_tcp(&format!("[::]:{port}")).or_else(|_| bind_tcp(&v4));
        }
        bind_tcp(address)
    }

    /// Where it listens, when that is an IP address.
    pub(crate) fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Listener::Tcp(listener) => listener.local_addr().ok(),
            #[cfg(unix)]
            Listener::Unix { .. } => None,
        }
    }

    /// The next connection that waits. `WouldBlock` when there is none.
    pub(crate) fn accept(&self) -> io::Result<Socket> {
        match self {
            Listener::Tcp(listener) => Socket::accepted_tcp(listener.accept()?.0),
            #[cfg(unix)]
            Listener::Unix { listener, .. } => Ok(Socket::accepted_unix(listener.accept()?.0)),
        }
    }

    /// Registers it for reading.
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match self {
            Listener::Tcp(listener) => listener.register(registry, token, Interest::READABLE),
            #[cfg(unix)]
            Listener::Unix { listener, .. } => listener.register(registry, token, Interest::READABLE),
        }
    }

    /// Takes it out of the poll, before it is dropped.
    pub(crate) fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        match self {
            Listener::Tcp(listener) => listener.deregister(registry),
            #[cfg(unix)]
            Listener::Unix { listener, .. } => listener.deregister(registry),
        }
    }
}

fn bind_tcp(address: &str) -> io::Result<Listener> {
    let invalid = |error: io::Error| {
        io::Error::new(error.kind(), format!("{address:?} is no address to listen at: {error}"))
    };
    let mut last = None;
    for address in address.to_socket_addrs().map_err(invalid)? {
        match TcpListener::bind(address) {
            Ok(listener) => return Ok(Listener::Tcp(listener)),
            Err(error) => {
                last = Some(io::Error::new(error.kind(), format!("cannot listen at {address}: {error}")))
            }
        }
    }
    Err(last.unwrap_or_else(|| invalid(io::ErrorKind::AddrNotAvailable.into())))
}

#[cfg(unix)]
fn bind_unix(path: &str) -> io::Result<Listener> {
    use std::os::unix::fs::FileTypeExt;
    let listen = || UnixListener::bind(path);
    let is_stale = || {
        // A socket that nobody listens at was left behind by a program that was killed. Anything else stays.
        std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket())
            && std::os::unix::net::UnixStream::connect(path)
                .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    };
    let listener = match listen() {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_stale() => {
            std::fs::remove_file(path).and_then(|()| listen())
        }
        other => other,
    };
    let listener = listener
        .map_err(|error| io::Error::new(error.kind(), format!("cannot listen at unix:{path}: {error}")))?;
    Ok(Listener::Unix { listener, _file: Some(File { path: path.into() }) })
}

#[cfg(unix)]
impl Drop for File {
    fn drop(&mut self) {
        // Somebody may have removed it already.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn bind_abstract(name: &str) -> io::Result<Listener> {
    use std::os::linux::net::SocketAddrExt;
    let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
    Ok(Listener::Unix { listener: UnixListener::bind_addr(&address)?, _file: None })
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn bind_abstract(_name: &str) -> io::Result<Listener> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "abstract Unix sockets exist on Linux only"))
}

#[cfg(not(unix))]
fn bind_unix(_path: &str) -> io::Result<Listener> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "Unix sockets are not supported on this system"))
}

#[cfg(test)]
mod tests {
    use super::Listener;

    #[test]
    fn addresses() {
        let listener = Listener::bind("127.0.0.1:0").expect("binds");
        let taken = listener.local_addr().expect("has an address");
        assert_ne!(taken.port(), 0);
        let error = Listener::bind(&taken.to_string()).expect_err("taken").to_string();
        assert!(error.contains(&taken.to_string()), "{error}");
        let any = Listener::bind(":0").expect("binds").local_addr().expect("has an address");
        assert!(any.ip().is_unspecified());
        for bad in ["", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:70000", "unix:/does/not/exist/socket"] {
            let error = Listener::bind(bad).expect_err(bad).to_string();
            assert!(error.contains(bad), "{error}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_stale_unix_socket_is_replaced_and_the_file_removed_at_the_end() {
        let path = std::env::temp_dir().join(format!("grpclb-listen-{}", std::process::id()));
        let address = format!("unix:{}", path.display());
        drop(std::os::unix::net::UnixListener::bind(&path).expect("binds"));
        assert!(path.exists(), "the standard library's listener leaves its file");
        let listener = Listener::bind(&address).expect("replaces it");
        let error = Listener::bind(&address).expect_err("somebody listens there");
        assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
        drop(listener);
        assert!(!path.exists());
        std::fs::write(&path, "precious").expect("writes");
        assert!(Listener::bind(&address).is_err(), "a file that is no socket stays");
        assert_eq!(std::fs::read(&path).expect("reads"), b"precious");
        std::fs::remove_file(&path).expect("removes");
    }
}
