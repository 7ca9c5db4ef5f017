//! A table of one virtual firewall, page by page: while one is read, the next is on its way.

use tokio::task::spawn_blocking;

use super::envelope::{Envelope, Page, page};
use super::{Ask, At, Client, Error, Row, Rows, borrowed, cmdb};

/// A page of more bytes is read by another thread, so that nothing waits for it.
const LARGE: usize = 32 * 1024;
/// How often a table is read anew because it changed under the reading.
const RESTARTS: usize = 5;

impl Client {
    /// All rows of a table, of which this is the first page. One that changes in between is read anew: a row could be
    /// missed otherwise.
    pub(super) async fn all<T: Send + 'static>(
        &self,
        at: At<'_>,
        ask: &Ask<'_>,
        first: Envelope,
        keep: &(impl Fn(&str, Row) -> T + Clone + Send + 'static),
    ) -> Result<Rows<T>, Error> {
        let (mut text, mut total) = (first.text, first.head.total);
        for _ in 0..RESTARTS {
            if let Some(rows) = self.unchanged(at, ask, (text, total), keep).await? {
                return Ok(rows);
            }
            (text, total) = (self.text_of(at, ask, 0).await?, None);
        }
        Err(Error::Protocol(format!("{} changes faster than it is read", at.table)))
    }

    /// All rows, where the table stays the same from the first page to the last. Of the first page, it may be known already
    /// how many there are.
    async fn unchanged<T: Send + 'static>(
        &self,
        at: At<'_>,
        ask: &Ask<'_>,
        (first, total): (String, Option<u64>),
        keep: &(impl Fn(&str, Row) -> T + Clone + Send + 'static),
    ) -> Result<Option<Rows<T>>, Error> {
        let mut all = Rows::default();
        let (mut text, mut total) = (first, total);
        loop {
            let start = all.rows.len();
            // Where there is surely one more page, it need not be waited for until this one is read.
            let following = start + ask.page;
            let ahead = async {
                match total {
                    Some(total) if (following as u64) < total => {
                        self.text_of(at, ask, following).await.map(Some)
                    }
                    _ => Ok(None),
                }
            };
            let (page, ahead) = tokio::try_join!(read(at.vdom, text, keep), ahead)?;
            if start > 0 && page.revision != all.revision {
                return Ok(None);
            }
            let got = page.rows.len();
            (all.revision, all.serial) = (page.revision, page.serial);
            all.rows.extend(page.rows);
            // A device may give fewer rows at once than it was asked for, and says so.
            if page.is_limited && got == 0 {
                return Err(Error::Protocol(format!("{} promises rows and gives none", at.table)));
            }
            if !page.is_limited && got < ask.page {
                return Ok(Some(all));
            }
            total = page.total;
            text = match ahead.filter(|_| got == ask.page) {
                Some(text) => text,
                None => self.text_of(at, ask, all.rows.len()).await?,
            };
        }
    }

    /// One page of one virtual firewall as it comes.
    async fn text_of(&self, at: At<'_>, ask: &Ask<'_>, start: usize) -> Result<String, Error> {
        let _slot = self.enter().await;
        self.http.page(&cmdb(at.table, None), &borrowed(&ask.query(at.vdom, start))).await
    }
}

/// Reads a page.
async fn read<T: Send + 'static>(
    vdom: &str,
    text: String,
    keep: &(impl Fn(&str, Row) -> T + Clone + Send + 'static),
) -> Result<Page<T>, Error> {
    let is_large = text.len() > LARGE;
    let (vdom, keep) = (vdom.to_owned(), keep.clone());
    let read = move || page(&text, |row| keep(&vdom, row));
    if !is_large {
        return read();
    }
    let broken = |error| Err(Error::Protocol(format!("a page cannot be read: {error}")));
    spawn_blocking(read).await.unwrap_or_else(broken)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value as Json, json};

    use super::*;
    use crate::testing::device;

    const AT: At<'_> = At { vdom: "root", table: "firewall/address" };

    fn address(number: usize) -> (&'static str, Json) {
        (AT.table, json!({"name": format!("a{number:03}"), "subnet": "10.13.20.0 255.255.255.0"}))
    }

    /// The names of those that [`address`] made, in the order in which they come.
    async fn names(client: &Client, page: usize) -> Result<Vec<String>, Error> {
        let ask = Ask { page, ..Ask::those(&["name"], "name=@a0") };
        let name = |_: &str, row: Row| row.get("name").and_then(Json::as_str).unwrap_or_default().to_owned();
        let read = client.list(AT.table, &[AT.vdom], &ask, name).await?;
        Ok(read.into_values().flat_map(|read| read.rows).collect())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn pages_of_any_size_make_the_whole_table() {
        let rows: Vec<_> = (0..12).map(address).collect();
        let (_simulator, client) = device(&rows).await;
        let whole = names(&client, 1000).await.unwrap();
        assert_eq!(whole.len(), 12);
        for page in 1..=14 {
            assert_eq!(names(&client, page).await.unwrap(), whole, "pages of {page}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_table_that_changes_between_two_pages_is_never_read_half() {
        let rows: Vec<_> = (0..32).map(address).collect();
        let (_simulator, client) = device(&rows).await;
        // What stands behind one that goes comes nearer: between two pages it would be passed over.
        let writing = async {
            for number in 0..20 {
                client.writer(&|| Ok(())).delete(AT, &format!("a{number:03}")).await.unwrap();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let reading = async {
            let (mut read, mut given_up) = (0, 0);
            while read < 40 {
                let Ok(names) = names(&client, 3).await else {
                    given_up += 1;
                    assert!(given_up < 100, "it is never read");
                    continue;
                };
                read += 1;
                let whole: Vec<String> =
                    (32 - names.len()..32).map(|number| format!("a{number:03}")).collect();
                assert_eq!(names, whole);
            }
        };
        tokio::join!(writing, reading);
    }
}
