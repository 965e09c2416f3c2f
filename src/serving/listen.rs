//! The sockets that a server listens on.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, chown};
use std::os::unix::net::{UnixListener as StdListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use tokio::net::{TcpListener, UnixListener};

use crate::failure::Failure;
use crate::files;
use crate::settings::{Settings, Unix};

/// Listens on the address, if there is one. Beyond loopback that takes TLS, or somebody who says that it is meant so.
///
/// # Errors
/// When the address cannot be had, or would be served to others without TLS.
pub async fn tcp(settings: &Settings, tls: bool) -> Result<Option<(TcpListener, SocketAddr)>, Failure> {
    if settings.listen.is_empty() {
        return Ok(None);
    }
    let listener = TcpListener::bind(&settings.listen)
        .await
        .map_err(|e| Failure::failed(format!("cannot listen on {}: {e}", settings.listen)))?;
    let address = listener.local_addr()?;
    if !tls && !address.ip().is_loopback() {
        if !settings.allow_plaintext {
            return Err(Failure::usage(format!(
                "{address} is beyond loopback and there is no TLS: everything, credentials too, could be read on the way. Set up \
                 [tls]; or listen on loopback or a Unix socket behind a proxy with TLS; or, where the network is trusted, say \
                 allow_plaintext = true (--allow-plaintext)"
            )));
        }
        tracing::warn!(%address, "listening beyond loopback WITHOUT TLS, as allow_plaintext says: credentials and records can be read on the way");
    }
    Ok(Some((listener, address)))
}

/// A Unix socket; its file goes with it.
pub struct Socket {
    path: PathBuf,
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = rustix::fs::unlink(&self.path);
    }
}

/// Listens on the Unix socket, if there is one. Nobody can connect before it has its mode and group.
///
/// # Errors
/// When something else is in its place, or another server listens there.
pub fn unix(settings: &Unix) -> Result<Option<(UnixListener, Socket)>, Failure> {
    let Some(path) = settings.path.as_deref() else {
        return Ok(None);
    };
    let group = settings.group.as_deref().map(group).transpose()?;
    let mode = settings
        .mode_bits()
        .ok_or_else(|| Failure::usage("settings: unix.mode: write an octal mode, e.g. 0660"))?;
    let named = |error: io::Error| Failure::failed(format!("cannot listen on {}: {error}", path.display()));
    make_way(path)?;
    let socket = Socket {
        path: path.to_owned(),
    };
    let listener = bound(path, mode, group).map_err(named)?;
    Ok(Some((UnixListener::from_std(listener).map_err(named)?, socket)))
}

fn bound(path: &Path, mode: u32, group: Option<u32>) -> io::Result<StdListener> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let fd = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::bind(&fd, &SocketAddrUnix::new(path)?)?;
    if group.is_some() {
        chown(path, None, group)?;
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    rustix::net::listen(&fd, BACKLOG)?;
    Ok(StdListener::from(fd))
}

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// Removes what a server left that did not stop by itself.
fn make_way(path: &Path) -> Result<(), Failure> {
    let Ok(found) = std::fs::symlink_metadata(path) else {
        return Ok(());
    };
    let refuse = |why: &str| {
        Err(Failure::failed(format!(
            "cannot listen on {}: {why}",
            path.display()
        )))
    };
    if !found.file_type().is_socket() {
        return refuse("there is a file that is no socket");
    }
    if UnixStream::connect(path).is_ok() {
        return refuse("another server listens there");
    }
    rustix::fs::unlink(path).map_err(|error| Failure::failed(format!("{}: {error}", path.display())))
}

/// The number of a group.
///
/// # Errors
/// When there is none of that name.
pub fn group(name: &str) -> Result<u32, Failure> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    let groups = files::read_text("/etc/group".as_ref())?;
    let number = groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok())?
    });
    number.ok_or_else(|| Failure::usage(format!("settings: unix.group: there is no group {name}")))
}
