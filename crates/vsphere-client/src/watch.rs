//! Waits for changes, by a property collector of its own for each watch.
//!
//! Two waits at once on one collector lose updates, so that the session's default collector is
//! never waited on.

use std::sync::Arc;
use std::time::Duration;

use crate::client::{Call, Mode, returned_mor};
use crate::fault::FaultClass;
use crate::filter::write_filter;
use crate::xml::{Element, for_each_at};
use crate::{Client, Error, Missing, Mor, Scope, Select, View};

/// How many objects come with one answer, so that the first answer of a large watch stays small.
const PAGE: u32 = 500;

/// A watch over some objects. It dies with its session: [`Error::SessionLost`] then asks the
/// owner for a new watch and a full read.
pub struct Watch {
    client: Arc<Client>,
    collector: Mor,
    /// The view that [`Watch::below`] made.
    view: Option<View>,
    generation: u64,
    version: String,
}

/// What changed since the answer before.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// In the server's order. Empty when nothing happened within the wait.
    pub changes: Vec<Change>,
    /// More is there already: the next call returns at once.
    pub truncated: bool,
}

/// One object's change.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Which object.
    pub object: Mor,
    /// What happened to it.
    pub kind: ChangeKind,
    /// The properties that changed; without a value when it was taken away.
    pub properties: Vec<(Box<str>, Option<Element>)>,
    /// The properties that cannot be read.
    pub missing: Vec<Missing>,
}

/// What happened to an object of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It is new to the watch, also in the watch's first answers.
    Enter,
    /// Properties changed.
    Modify,
    /// It is gone from the watch: destroyed or moved elsewhere.
    Leave,
}

impl Watch {
    /// Watches everything of the selected kinds below `root`. The first answers bring all of it.
    ///
    /// The server's cost grows with the watched scope: choose the narrowest root there is.
    pub async fn below(client: Arc<Client>, root: &Mor, select: &[Select<'_>]) -> Result<Watch, Error> {
        let kinds: Vec<&str> = select.iter().map(|s| s.kind).collect();
        let view = client.container_view(root, &kinds).await?;
        let mut watch = Watch::of(client, Scope::View(&view), select).await?;
        watch.view = Some(view);
        Ok(watch)
    }

    /// Watches the objects of a scope.
    pub async fn of(client: Arc<Client>, scope: Scope<'_>, select: &[Select<'_>]) -> Result<Watch, Error> {
        let session = client.session().await?;
        let mode = Mode::Bound(session.generation);
        let method = "CreatePropertyCollector";
        let create = Call::new(method, &session.service.property_collector, mode, |_| {});
        let collector = returned_mor(method, &client.call(create).await?)?;
        let generation = session.generation;
        let watch = Watch { client, collector, view: None, generation, version: String::new() };
        watch.also(scope, select).await?;
        Ok(watch)
    }

    /// Watches the objects of another scope besides. One wait is for all of them.
    pub async fn also(&self, scope: Scope<'_>, select: &[Select<'_>]) -> Result<(), Error> {
        let filter = Call::new("CreateFilter", &self.collector, Mode::Bound(self.generation), |b| {
            b.element("spec", |b| write_filter(b, scope, select));
            // A change within a property brings the whole property.
            b.value("partialUpdates", false);
        });
        self.client.call(filter).await.map(drop)
    }

    /// Waits for changes up to `max_wait` (whole seconds, at least 1).
    ///
    /// A loop with waits of 30 to 60 s keeps the session alive. After an error, or when the future
    /// was dropped, the wait may go on at the server until its end and take what comes meanwhile:
    /// close this watch then, begin another and read everything anew.
    pub async fn next(&mut self, max_wait: Duration) -> Result<Changes, Error> {
        let mode = Mode::LongPoll(self.generation, max_wait);
        let call = Call::new("WaitForUpdatesEx", &self.collector, mode, |b| {
            b.value("version", &self.version).element("options", |b| {
                b.value("maxWaitSeconds", max_wait.as_secs().max(1)).value("maxObjectUpdates", PAGE);
            });
        });
        let text = self.client.call_text(call).await.map_err(lost)?;
        let (version, changes) = read_changes(&text)?;
        if changes.changes.iter().flat_map(|c| &c.missing).any(Missing::is_session) {
            self.client.session_ended(self.generation).await?;
            return Err(Error::SessionLost);
        }
        if let Some(version) = version {
            self.version = version;
        }
        Ok(changes)
    }

    /// Gives the collector back to the server. A watch that is only dropped ends with its session.
    pub async fn close(self) -> Result<(), Error> {
        let call =
            Call::new("DestroyPropertyCollector", &self.collector, Mode::Bound(self.generation), |_| {});
        let outcome = self.client.call(call).await;
        if let Some(view) = self.view {
            self.client.destroy_view(view).await?;
        }
        match outcome {
            Err(Error::SessionLost) => Ok(()),
            outcome => outcome.map(drop),
        }
    }
}

/// A collector that is gone, or does not know its version any more, went with its session.
fn lost(error: Error) -> Error {
    let gone = error.class() == Some(FaultClass::Gone);
    let unknown = error.fault().is_some_and(|fault| &*fault.kind == "InvalidCollectorVersion");
    if gone || unknown { Error::SessionLost } else { error }
}

fn read_changes(text: &str) -> Result<(Option<String>, Changes), Error> {
    let (mut version, mut found) = (None, Changes::default());
    for_each_at(text, 5, |_, element| {
        match &*element.name {
            "version" => version = Some(element.text),
            "truncated" => found.truncated = element.bool() == Some(true),
            "filterSet" => {
                for object in element.children.into_iter().filter(|child| &*child.name == "objectSet") {
                    found.changes.push(read_change(object)?);
                }
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok((version, found))
}

fn read_change(element: Element) -> Result<Change, Error> {
    let object = element.get("obj").and_then(Element::mor);
    let object = object.ok_or_else(|| Error::Protocol("a change has no object".into()))?;
    let kind = match element.text_at("kind") {
        Some("enter") => ChangeKind::Enter,
        Some("modify") => ChangeKind::Modify,
        Some("leave") => ChangeKind::Leave,
        other => return Err(Error::Protocol(format!("unknown kind of change {other:?}"))),
    };
    let mut change = Change { object, kind, properties: vec![], missing: vec![] };
    for child in element.children {
        match &*child.name {
            "changeSet" => {
                let name = child.text_at("name").unwrap_or_default().into();
                change.properties.push((name, child.into_child("val")));
            }
            "missingSet" => change.missing.push(Missing::read(child)),
            _ => {}
        }
    }
    Ok(change)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_read() {
        let text = "<e><b><r><returnval><version>2</version><filterSet><filter type=\"PropertyFilter\">f</filter>\
            <objectSet><kind>modify</kind><obj type=\"VirtualMachine\">vm-1</obj><changeSet><name>name</name>\
            <op>assign</op><val>b</val></changeSet><changeSet><name>snapshot</name><op>remove</op></changeSet>\
            </objectSet></filterSet><truncated>true</truncated></returnval></r></b></e>";
        let (version, found) = read_changes(text).unwrap();
        assert_eq!((version.as_deref(), found.truncated, found.changes.len()), (Some("2"), true, 1));
        let change = &found.changes[0];
        assert_eq!((change.kind, &*change.object.id), (ChangeKind::Modify, "vm-1"));
        assert_eq!(change.properties[0].1.as_ref().map(|v| v.text.as_str()), Some("b"));
        assert_eq!(change.properties[1].1, None);
    }

    #[test]
    fn a_wait_without_changes_is_empty() {
        let (version, found) = read_changes("<e><b><r/></b></e>").unwrap();
        assert_eq!((version, found), (None, Changes::default()));
    }
}
