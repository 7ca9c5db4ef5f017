//! From a name to a connection.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect as begin, socket_with, sockopt};

use crate::link::poll_until;
use crate::{Cancel, Error};

const DOING: &str = "connecting";

/// Connects to the first of the host's addresses that answers.
pub(crate) fn connect(host: &str, port: u16, limit: Duration, cancel: &Cancel) -> Result<TcpStream, Error> {
    let until = Instant::now() + limit;
    let on = format!("{host}:{port}");
    let unreachable = |cause: String| Error::Unreachable { on: on.clone(), cause };
    let addresses = resolve(host, port, until, cancel)?.map_err(unreachable)?;
    let mut tried = Vec::new();
    for (index, address) in addresses.iter().enumerate() {
        // Each gets its share of what is left, so that a dead first one does not use up the time of the second.
        let left = u32::try_from(addresses.len() - index).unwrap_or(1).max(1);
        let share = until.saturating_duration_since(Instant::now()) / left;
        match one(*address, Instant::now() + share, cancel) {
            Ok(Some(stream)) => return Ok(stream),
            Ok(None) => return Err(Error::Cancelled { doing: DOING }),
            Err(cause) => tried.push(format!("{address}: {cause}")),
        }
    }
    Err(unreachable(if tried.is_empty() { "the name has no address".to_owned() } else { tried.join("; ") }))
}

/// The host's addresses. The system's resolver cannot be interrupted, so it is asked in a thread of its own, which is
/// left alone where it takes too long.
fn resolve(
    host: &str,
    port: u16,
    until: Instant,
    cancel: &Cancel,
) -> Result<Result<Vec<SocketAddr>, String>, Error> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(Ok(vec![SocketAddr::new(address, port)]));
    }
    let (sender, receiver) = channel();
    let name = host.to_owned();
    let resolving = thread::Builder::new().name("resolve".to_owned()).spawn(move || {
        let found = (name.as_str(), port).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
        // Nobody may be waiting any more.
        let _ = sender.send(found.map_err(|error| error.to_string()));
    });
    if let Err(error) = resolving {
        return Ok(Err(error.to_string()));
    }
    loop {
        match receiver.recv_timeout(Duration::from_millis(50)) {
            Ok(found) => return Ok(found),
            Err(RecvTimeoutError::Disconnected) => return Ok(Err("the name cannot be looked up".to_owned())),
            Err(RecvTimeoutError::Timeout) if cancel.is_cancelled() => {
                return Err(Error::Cancelled { doing: DOING });
            }
            Err(RecvTimeoutError::Timeout) if Instant::now() >= until => {
                return Ok(Err("its name was not looked up in time".to_owned()));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// One address; `None` where it was cancelled.
fn one(address: SocketAddr, until: Instant, cancel: &Cancel) -> io::Result<Option<TcpStream>> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    match begin(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => {}
        Err(error) => return Err(error.into()),
    }
    let mut fds = [PollFd::new(&socket, PollFlags::OUT), PollFd::new(cancel, PollFlags::IN)];
    let ready = poll_until(&mut fds, until)?;
    if fds[1].revents().intersects(PollFlags::IN) {
        return Ok(None);
    }
    if ready == 0 {
        return Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time"));
    }
    sockopt::socket_error(&socket)??;
    Ok(Some(TcpStream::from(socket)))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::ErrorKind;

    #[test]
    fn nobody_there_is_told_with_what_was_tried() {
        let cancel = Cancel::new().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let error = connect("127.0.0.1", port, Duration::from_secs(5), &cancel).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unreachable);
        assert!(error.to_string().contains("refused"), "{error}");
        let error = connect("no-such-host.invalid", 22, Duration::from_secs(20), &cancel).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
        cancel.cancel();
        let error = connect("127.0.0.1", port, Duration::from_secs(5), &cancel).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Cancelled | ErrorKind::Unreachable), "{error}");
    }
}
