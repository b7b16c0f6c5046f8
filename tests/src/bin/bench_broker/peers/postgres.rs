//! PostgreSQL as a plain queue: a table, rows put by many callers in one statement, taken in one statement by a worker
//! (`FOR UPDATE SKIP LOCKED`, deleted with what they were taken by).

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use sqlx::{Connection, PgConnection};
use taxdisk_tests::load::{Sample, closed_loop};
use taxdisk_tests::postgres::Server;
use tokio::sync::{Notify, mpsc, oneshot};

use super::{Waiting, message};

/// Rows of one statement.
const ROWS: usize = 512;

pub(crate) struct Table {
    pub(crate) server: Arc<Server>,
    url: String,
}

type Put = (String, oneshot::Sender<()>);

impl Table {
    pub(crate) async fn start() -> Table {
        let server = Server::shared();
        let url = server.database();
        let mut connection = PgConnection::connect(&url).await.unwrap();
        for table in ["jobs", "accepts"] {
            let sql = format!("CREATE TABLE {table} (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body text NOT NULL)");
            sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
        }
        Table { server, url }
    }

    pub(crate) async fn run(&self, count: usize, time: Duration, whole: bool) -> Sample {
        let (queue, mut puts) = mpsc::unbounded_channel::<Put>();
        let (waiting, written) = (Waiting::new(count), Rc::new(Notify::new()));
        let mut tasks = tokio::task::JoinSet::new();
        let mut connection = PgConnection::connect(&self.url).await.unwrap();
        let tell = written.clone();
        let sql = if whole {
            "INSERT INTO jobs (body) SELECT * FROM unnest($1::text[])"
        } else {
            "INSERT INTO accepts (body) SELECT * FROM unnest($1::text[])"
        };
        tasks.spawn_local(async move {
            let mut group = Vec::new();
            while puts.recv_many(&mut group, ROWS).await > 0 {
                let (bodies, callers): (Vec<String>, Vec<_>) = group.drain(..).unzip();
                sqlx::query(sql).bind(bodies).execute(&mut connection).await.unwrap();
                tell.notify_one();
                for caller in callers {
                    // One that was cut off by the end of the run.
                    let _ = caller.send(());
                }
            }
        });
        if whole {
            let (mut connection, waiting) = (PgConnection::connect(&self.url).await.unwrap(), waiting.clone());
            tasks.spawn_local(async move {
                loop {
                    let taken: Vec<String> = sqlx::query_scalar(
                        "DELETE FROM jobs WHERE id IN (SELECT id FROM jobs ORDER BY id LIMIT 512 FOR UPDATE SKIP LOCKED) \
                         RETURNING body",
                    )
                    .fetch_all(&mut connection)
                    .await
                    .unwrap();
                    taken.iter().for_each(|message| waiting.ended(message.as_bytes()));
                    if taken.is_empty() {
                        written.notified().await;
                    }
                }
            });
        }
        let callers = (0..count).map(|index| (index, String::from_utf8(message(index)).unwrap(), queue.clone())).collect();
        drop(queue);
        closed_loop(callers, time, async move |(index, message, queue): &mut (usize, String, mpsc::UnboundedSender<Put>)| {
            let (sender, durable) = oneshot::channel();
            queue.send((message.clone(), sender)).unwrap();
            durable.await.unwrap();
            if whole {
                waiting.end(*index).await;
            }
        })
        .await
    }
}
