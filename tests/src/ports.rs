//! Free loopback ports, for programs that cannot pick one and say which.

use std::{io, net::TcpListener};

/// Takes `N` different free ports. All are held at once, so that none comes twice.
pub(crate) fn free<const N: usize>() -> io::Result<[u16; N]> {
    let listeners =
        (0..N).map(|_| TcpListener::bind(("127.0.0.1", 0))).collect::<io::Result<Vec<_>>>()?;
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}
