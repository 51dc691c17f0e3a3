//! Statements that are sent all at once, in one transaction, without waiting for the answer to each; and what values and answers
//! look like.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, SimpleQueryMessage, SimpleQueryRow};

use super::connect::Connection;
use super::error::PostgresError;

/// A value in a statement.
pub(super) type Parameter = (Box<dyn ToSql + Sync + Send>, Type);

/// A number in a statement.
pub(super) fn number(number: i64) -> Parameter {
    (Box::new(number), Type::INT8)
}

/// How many milliseconds that is, for a statement.
pub(super) fn milliseconds(length: Duration) -> i64 {
    i64::try_from(length.as_millis()).unwrap_or(i64::MAX)
}

/// The first row of an answer by the simple protocol, which every pooler knows.
pub(super) fn first_row(answer: &[SimpleQueryMessage]) -> Option<&SimpleQueryRow> {
    answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    })
}

/// Statements of one transaction, in order. They can be sent again.
#[derive(Debug, Default)]
pub(super) struct Statements(Vec<(String, Vec<Parameter>)>);

impl Statements {
    /// Appends a statement.
    pub(super) fn push(&mut self, text: String, parameters: Vec<Parameter>) {
        self.0.push((text, parameters));
    }

    /// Sends them as one transaction, and gives how many rows each has changed.
    ///
    /// # Errors
    /// The first error; nothing has changed then, unless it is [`PostgresError::Unreachable`].
    pub(super) async fn send(&self, connection: &Connection, limit: Duration) -> Result<Vec<u64>, PostgresError> {
        // A server that waits for the rest of a transaction, whose sender is asleep or gone, keeps others from counting.
        let begin = format!("BEGIN; SET LOCAL idle_in_transaction_session_timeout = {}", limit.as_millis());
        connection
            .ask(limit, |client| async move {
                let mut answers: Vec<Answer<'_>> = vec![Box::pin(simple(client, &begin))];
                for (text, parameters) in &self.0 {
                    answers.push(Box::pin(async move {
                        let parameters: Vec<_> = parameters.iter().map(borrowed).collect();
                        client.execute_typed(text, &parameters).await
                    }));
                }
                // After an error it ends the transaction, with nothing changed.
                answers.push(Box::pin(simple(client, "COMMIT")));
                in_order(answers).await.map(|mut changed| {
                    changed.pop();
                    changed.drain(..1);
                    changed
                })
            })
            .await
    }
}

fn borrowed((value, kind): &Parameter) -> (&(dyn ToSql + Sync), Type) {
    (&**value, kind.clone())
}

async fn simple(client: &Client, text: &str) -> Result<u64, Error> {
    client.batch_execute(text).await.map(|()| 0)
}

type Answer<'a> = Pin<Box<dyn Future<Output = Result<u64, Error>> + Send + 'a>>;

/// Sends everything in order, and then waits for all answers. The first error is what the later ones come from.
async fn in_order(mut answers: Vec<Answer<'_>>) -> Result<Vec<u64>, Error> {
    let mut changed: Vec<Option<Result<u64, Error>>> = answers.iter().map(|_| None).collect();
    poll_fn(|context| {
        let mut is_done = true;
        for (answer, changed) in answers.iter_mut().zip(&mut changed) {
            if changed.is_none() {
                // A request is sent when it is first polled.
                match answer.as_mut().poll(context) {
                    Poll::Ready(result) => *changed = Some(result),
                    Poll::Pending => is_done = false,
                }
            }
        }
        if is_done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    changed.into_iter().flatten().collect()
}
