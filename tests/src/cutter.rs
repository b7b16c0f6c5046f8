//! A wire that a test can cut: TCP connections pass through it to one address, and can be broken, made deaf on one side or on
//! both, slowed down, or refused.
//!
//! A deaf connection stays open: neither end hears that the other has gone, as behind a firewall that forgot it or a cable
//! pulled on the far side. Its end comes from whoever watches for silence.

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// What becomes of the bytes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// They pass.
    Passes,
    /// Reset on both sides, at once.
    Cut,
    /// Nothing passes any more, and nobody is told.
    Deaf,
    /// What the client says still arrives; what the server says does not.
    DeafToClient,
    /// What the server says still arrives; what the client says does not.
    DeafToServer,
}

/// Bytes read at a time.
const CHUNK_BYTES: usize = 16 * 1024;
/// A deaf connection is given up at last, so that a long run does not collect sockets. Longer than any silence that the
/// programs bear.
const DEAF_MOST: Duration = Duration::from_secs(180);

/// Such a wire before one address.
pub struct Cutter {
    /// Where it is reached.
    pub url: String,
    wire: Arc<Wire>,
    _runtime: Runtime,
}

struct Wire {
    target: SocketAddr,
    connections: Mutex<Vec<watch::Sender<Fate>>>,
    refuses: AtomicBool,
    delay_ms: AtomicU64,
}

impl Cutter {
    /// A wire to `target`, `http://127.0.0.1:port`.
    pub fn before(target: &str) -> Cutter {
        let target = target.trim_start_matches("http://").parse().expect("an address with a port");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("non-blocking");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let wire = Arc::new(Wire {
            target,
            connections: Mutex::default(),
            refuses: AtomicBool::new(false),
            delay_ms: AtomicU64::new(0),
        });
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("runtime");
        let accepting = wire.clone();
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener of this runtime");
            while let Ok((client, _)) = listener.accept().await {
                if accepting.refuses.load(Ordering::Relaxed) {
                    reset(client);
                    continue;
                }
                let (fate, told) = watch::channel(Fate::Passes);
                let mut connections = accepting.connections.lock().unwrap_or_else(PoisonError::into_inner);
                connections.retain(|known| !known.is_closed());
                connections.push(fate);
                drop(connections);
                tokio::spawn(accepting.clone().carry(client, told));
            }
        });
        Cutter { url, wire, _runtime: runtime }
    }

    /// Gives about `percent` of the open connections this fate; how many it hit.
    pub fn strike(&self, fate: Fate, percent: u32, random: &mut StdRng) -> usize {
        let connections = self.wire.connections.lock().unwrap_or_else(PoisonError::into_inner);
        let open = connections.iter().filter(|known| !known.is_closed() && *known.borrow() == Fate::Passes);
        let hit: Vec<_> = open.filter(|_| random.gen_range(0..100) < percent).collect();
        for connection in &hit {
            connection.send_replace(fate);
        }
        hit.len()
    }

    /// New connections are reset at once, or taken again.
    pub fn refuse(&self, refuses: bool) {
        self.wire.refuses.store(refuses, Ordering::Relaxed);
    }

    /// Every piece waits this long on its way.
    pub fn delay(&self, delay: Duration) {
        self.wire.delay_ms.store(u64::try_from(delay.as_millis()).expect("a short delay"), Ordering::Relaxed);
    }
}

impl Wire {
    async fn carry(self: Arc<Self>, client: TcpStream, fate: watch::Receiver<Fate>) {
        let Ok(server) = TcpStream::connect(self.target).await else { return reset(client) };
        for stream in [&client, &server] {
            let _ = stream.set_nodelay(true);
        }
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        let up = self.flow(from_client, to_server, fate.clone(), Fate::DeafToServer);
        let down = self.flow(from_server, to_client, fate, Fate::DeafToClient);
        let (up, down) = tokio::join!(up, down);
        if up.cut || down.cut {
            for (read, write) in [(up.read, down.write), (down.read, up.write)] {
                if let Ok(stream) = read.reunite(write) {
                    reset(stream);
                }
            }
        }
    }

    /// Carries one direction until it ends.
    async fn flow(
        &self,
        mut read: OwnedReadHalf,
        mut write: OwnedWriteHalf,
        mut fate: watch::Receiver<Fate>,
        deaf: Fate,
    ) -> Flow {
        let mut bytes = vec![0; CHUNK_BYTES];
        let mut cut = false;
        loop {
            let count = tokio::select! {
                biased;
                now = struck(&mut fate, deaf) => {
                    cut = now == Fate::Cut;
                    if !cut {
                        // The sockets stay open, and nobody reads: the end of the other side is not passed on either.
                        let _ = tokio::time::timeout(DEAF_MOST, fate.wait_for(|fate| *fate == Fate::Cut)).await;
                        cut = true;
                    }
                    break;
                }
                count = read.read(&mut bytes) => count.unwrap_or(0),
            };
            let delay_ms = self.delay_ms.load(Ordering::Relaxed);
            if delay_ms > 0 {
                tokio::time::sleep(Duration::from_millis(delay_ms)).await;
            }
            if count == 0 || write.write_all(&bytes[..count]).await.is_err() {
                break;
            }
        }
        if !cut {
            let _ = write.shutdown().await;
        }
        Flow { read, write, cut }
    }
}

/// A direction that ended.
struct Flow {
    read: OwnedReadHalf,
    write: OwnedWriteHalf,
    cut: bool,
}

/// Ends when this direction does not pass any more.
async fn struck(fate: &mut watch::Receiver<Fate>, deaf: Fate) -> Fate {
    match fate.wait_for(|fate| *fate == deaf || matches!(fate, Fate::Cut | Fate::Deaf)).await {
        Ok(fate) => *fate,
        // The wire itself is gone with its test.
        Err(_) => Fate::Cut,
    }
}

/// Ends a connection as a machine does that knows nothing of it.
fn reset(stream: TcpStream) {
    let _ = stream.set_zero_linger();
}
