//! The sockets of a process that may die. The system closes them then, here in the order in which they were opened: that in which
//! the runtime drops its tasks hangs on numbers that all worlds of this program share, and a run could not be run again.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turmoil::net::TcpStream;

/// The sockets of one host.
#[derive(Clone, Default)]
pub(crate) struct Sockets(Arc<Mutex<Table>>);

#[derive(Default)]
struct Table {
    dies: bool,
    last: u64,
    open: BTreeMap<u64, TcpStream>,
}

impl Sockets {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The process uses this stream from now on.
    pub(crate) fn open(&self, stream: TcpStream) -> Socket {
        let mut table = self.table();
        table.last += 1;
        let number = table.last;
        table.open.insert(number, stream);
        Socket { sockets: self.clone(), number }
    }

    /// The next thing that happens to the process is its end.
    pub(crate) fn die(&self) {
        self.table().dies = true;
    }

    /// The process begins.
    pub(crate) fn live(&self) {
        self.table().dies = false;
    }
}

/// A stream that is closed with its process at the latest.
pub(crate) struct Socket {
    sockets: Sockets,
    number: u64,
}

impl Socket {
    fn with<T>(&self, poll: impl FnOnce(Pin<&mut TcpStream>) -> Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match self.sockets.table().open.get_mut(&self.number) {
            Some(stream) => poll(Pin::new(stream)),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let mut table = self.sockets.table();
        if table.dies {
            // The first one that goes takes all with it, the oldest first.
            while let Some((_, stream)) = table.open.pop_first() {
                drop(stream);
            }
        } else {
            table.open.remove(&self.number);
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_read(cx, buffer))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.with(|stream| stream.poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_shutdown(cx))
    }
}
