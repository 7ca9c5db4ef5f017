//! Tables page by page: while one is read, the next is on its way.

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::thread;

use serde_json::value::RawValue;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use super::envelope::{Answer, Page, unread};
use super::{Ask, At, Client, Error, Keep, Promised, Rows};

/// Pages of more bytes are read by another thread, so that nothing waits for them.
const LARGE: usize = 32 * 1024;
/// How often a table is read anew because it changed under the reading.
const RESTARTS: usize = 5;

/// A page that was read.
struct Turned<'a, T> {
    page: Page<T>,
    /// The next, where it was asked for meanwhile.
    ahead: Option<Promised<'a>>,
    /// How many rows the table has, where the device tells it.
    total: Option<u64>,
}

impl Client {
    /// The rows of a table in each of these virtual firewalls, page by page, each as `keep` makes it of its virtual firewall
    /// and of what came. Of several, those that the token has no right to are left out.
    pub(crate) async fn list<K: Keep>(
        &self,
        table: &str,
        vdoms: &[&str],
        ask: &Ask<'_>,
        keep: &K,
    ) -> Result<BTreeMap<String, Rows<K::Kept>>, Error> {
        let first = self.page(table, vdoms, ask, 0).await?;
        if let [vdom] = vdoms {
            let at = At { vdom, table };
            let first = self.turn(at, ask, (0, None), first, keep).await?;
            return Ok(BTreeMap::from([((*vdom).to_owned(), self.all(at, ask, first, keep).await?)]));
        }
        let mut first = read_each(first.text().await?, keep).await?;
        let mut read = BTreeMap::new();
        for vdom in vdoms {
            // Of several, those without a right are left out without a word: that is no empty table.
            let Some(page) = first.remove(*vdom) else { continue };
            let first = Turned { page, ahead: None, total: None };
            let rows = self.all(At { vdom, table }, ask, first, keep).await?;
            read.insert((*vdom).to_owned(), rows);
        }
        Ok(read)
    }

    /// All rows of a table, of which this is the first page. One that changes in between is read anew: a row could be
    /// missed otherwise.
    async fn all<K: Keep>(
        &self,
        at: At<'_>,
        ask: &Ask<'_>,
        mut first: Turned<'_, K::Kept>,
        keep: &K,
    ) -> Result<Rows<K::Kept>, Error> {
        for _ in 0..RESTARTS {
            if let Some(rows) = self.unchanged(at, ask, first, keep).await? {
                return Ok(rows);
            }
            let anew = self.page(at.table, &[at.vdom], ask, 0).await?;
            first = self.turn(at, ask, (0, None), anew, keep).await?;
        }
        Err(Error::Protocol(format!("{} changes faster than it is read", at.table)))
    }

    /// All rows, where the table stays the same from the first page to the last.
    async fn unchanged<K: Keep>(
        &self,
        at: At<'_>,
        ask: &Ask<'_>,
        first: Turned<'_, K::Kept>,
        keep: &K,
    ) -> Result<Option<Rows<K::Kept>>, Error> {
        let Turned { mut page, mut ahead, mut total } = first;
        let mut all = Rows { revision: page.revision.clone(), ..Rows::default() };
        loop {
            if page.revision != all.revision {
                return Ok(None);
            }
            let got = page.rows.len();
            all.serial = page.serial;
            all.rows.extend(page.rows);
            // A device may give fewer rows at once than it was asked for, and says so.
            if page.is_limited && got == 0 {
                return Err(Error::Protocol(format!("{} promises rows and gives none", at.table)));
            }
            if !page.is_limited && got < ask.page {
                return Ok(Some(all));
            }
            let start = all.rows.len();
            let next = match ahead.filter(|_| got == ask.page) {
                Some(next) => next,
                None => self.page(at.table, &[at.vdom], ask, start).await?,
            };
            Turned { page, ahead, total } = self.turn(at, ask, (start, total), next, keep).await?;
        }
    }

    /// Takes and reads the page that begins with this row. Where there is surely one more, it is asked for meanwhile, so that
    /// the device always has something to do: at once where it is known how many rows there are, and otherwise as soon as
    /// this page has told it.
    async fn turn<'a, K: Keep>(
        &'a self,
        at: At<'_>,
        ask: &Ask<'_>,
        (start, known): (usize, Option<u64>),
        promised: Promised<'_>,
        keep: &K,
    ) -> Result<Turned<'a, K::Kept>, Error> {
        let (tell, told) = oneshot::channel();
        let following = start + ask.page;
        let ahead = async {
            let total = match known {
                None => told.await.ok(),
                known => known,
            };
            match total {
                Some(total) if (following as u64) < total => {
                    self.page(at.table, &[at.vdom], ask, following).await.map(Some)
                }
                _ => Ok(None),
            }
        };
        let (vdom, keep) = (at.vdom.to_owned(), keep.clone());
        let read = move |text: &str| {
            let answer = super::envelope::first(unread(text)?)?;
            let total = answer.total;
            // Nobody listens any more where it was known.
            let _ = total.map(|total| tell.send(total));
            Ok((answer.page(&vdom, &keep)?, total))
        };
        let page = async { aside(promised.text().await?, read).await };
        let ((page, total), ahead) = tokio::try_join!(page, ahead)?;
        Ok(Turned { page, ahead, total })
    }
}

/// Reads the first pages of several virtual firewalls, in two halves at once: nothing else is left to do meanwhile.
async fn read_each<K: Keep>(text: String, keep: &K) -> Result<BTreeMap<String, Page<K::Kept>>, Error> {
    let keep = keep.clone();
    let read = move |answers: Vec<Answer<&RawValue>>| -> Result<Vec<_>, Error> {
        let each = answers.into_iter().map(|answer| {
            let vdom = answer.vdom.clone();
            let page = answer.page(&vdom, &keep)?;
            Ok((vdom, page))
        });
        each.collect()
    };
    aside(text, move |text| {
        let mut half = unread(text)?;
        let other = half.split_off(half.len() / 2);
        thread::scope(|scope| {
            let other = scope.spawn(|| read(other));
            let half = read(half)?;
            let other = other.join().unwrap_or_else(|panic| resume_unwind(panic))?;
            Ok(half.into_iter().chain(other).collect())
        })
    })
    .await
}

/// Reads a text in another thread where it is large.
async fn aside<T: Send + 'static>(
    text: String,
    read: impl FnOnce(&str) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    if text.len() <= LARGE {
        return read(&text);
    }
    let broken = |error| Err(Error::Protocol(format!("a page cannot be read: {error}")));
    spawn_blocking(move || read(&text)).await.unwrap_or_else(broken)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value as Json, json};

    use super::*;
    use crate::testing::{self, device};

    const AT: At<'_> = At { vdom: "root", table: "firewall/address" };

    fn address(number: usize) -> (&'static str, Json) {
        (AT.table, json!({"name": format!("a{number:03}"), "subnet": "10.13.20.0 255.255.255.0"}))
    }

    /// The names of those that [`address`] made, in the order in which they come.
    async fn names(client: &Client, page: usize) -> Result<Vec<String>, Error> {
        let ask = Ask { page, ..Ask::those(&["name"], "name=@a0") };
        let rows = client.rows(AT, &ask).await?;
        Ok(rows.iter().map(|row| row["name"].as_str().unwrap_or_default().to_owned()).collect())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn pages_of_any_size_make_the_whole_table() {
        let rows: Vec<_> = (0..12).map(address).collect();
        let (simulator, client) = device(&rows).await;
        let whole = names(&client, 1000).await.unwrap();
        assert_eq!(whole.len(), 12);
        // A page that is on its way takes the only slot until it is here, and the one after it is asked for meanwhile.
        let narrow = testing::client(&simulator, 1);
        for (page, client) in (1..=14).flat_map(|page| [(page, &client), (page, &narrow)]) {
            let read = tokio::time::timeout(Duration::from_secs(10), names(client, page)).await;
            assert_eq!(read.expect("it never ends").unwrap(), whole, "pages of {page}");
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
