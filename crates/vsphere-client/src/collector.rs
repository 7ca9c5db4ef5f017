//! Reads properties of many objects, a page at a time and one object in memory.

use crate::client::{Call, Mode, returned_mor};
use crate::fault::FaultClass;
use crate::filter::write_filter;
use crate::xml::{Element, for_each_at};
use crate::{Client, Error, Fault, Mor, Scope, Select};

/// A container view: the objects of some kinds anywhere below a root, kept by the server. It lives
/// as long as the session, or until [`Client::destroy_view`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    pub(crate) mor: Mor,
    generation: u64,
}

/// One object with the properties that were asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// Which object.
    pub mor: Mor,
    /// The properties that have a value, by path.
    pub properties: Vec<(Box<str>, Element)>,
    /// The properties that could not be read.
    pub missing: Vec<Missing>,
}

/// A property that could not be read, which says nothing of its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Missing {
    /// The property's path.
    pub path: Box<str>,
    /// Why, such as `NoPermission`.
    pub fault: Fault,
}

/// What is known of one property.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Property<'a> {
    /// It has this value.
    Present(&'a Element),
    /// It has no value.
    Absent,
    /// It could not be read: its value is unknown.
    Unreadable(&'a Fault),
}

impl Object {
    /// What is known of a property.
    pub fn property(&self, path: &str) -> Property<'_> {
        if let Some(value) = self.get(path) {
            return Property::Present(value);
        }
        match self.missing.iter().find(|missing| &*missing.path == path) {
            Some(missing) => Property::Unreadable(&missing.fault),
            None => Property::Absent,
        }
    }

    /// A property's value. None may mean absent or unreadable: see [`Object::property`].
    pub fn get(&self, path: &str) -> Option<&Element> {
        self.properties.iter().find(|property| &*property.0 == path).map(|property| &property.1)
    }

    /// A property's text.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.get(path).map(|value| value.text.as_str())
    }

    /// A property as a whole number.
    pub fn int(&self, path: &str) -> Option<i64> {
        self.get(path).and_then(Element::int)
    }

    /// A property as a truth value.
    pub fn bool(&self, path: &str) -> Option<bool> {
        self.get(path).and_then(Element::bool)
    }

    /// A property as a reference.
    pub fn mor(&self, path: &str) -> Option<Mor> {
        self.get(path).and_then(Element::mor)
    }

    /// A property as a list of references; empty when it has no value.
    pub fn mors(&self, path: &str) -> Vec<Mor> {
        self.get(path).map(|value| value.mors().collect()).unwrap_or_default()
    }

    fn read(element: Element) -> Option<Object> {
        let mor = element.get("obj").and_then(Element::mor)?;
        let mut object = Object { mor, properties: vec![], missing: vec![] };
        for child in element.children {
            match &*child.name {
                "propSet" => object.properties.extend(read_property(child)),
                "missingSet" => object.missing.push(Missing::read(child)),
                _ => {}
            }
        }
        Some(object)
    }
}

fn read_property(element: Element) -> Option<(Box<str>, Element)> {
    let name = element.text_at("name")?.into();
    Some((name, element.into_child("val")?))
}

impl Missing {
    pub(crate) fn read(element: Element) -> Missing {
        let path = element.text_at("path").unwrap_or_default().into();
        Missing { path, fault: Fault::localized(element.into_child("fault").unwrap_or_default()) }
    }

    /// vCenter may pass a call without a session and refuse each property instead.
    pub(crate) fn is_session(&self) -> bool {
        self.fault.class() == FaultClass::NotAuthenticated
    }
}

impl Client {
    /// Makes a view of all objects of these kinds below `root`, at any depth.
    pub async fn container_view(&self, root: &Mor, kinds: &[&str]) -> Result<View, Error> {
        match self.try_container_view(root, kinds).await {
            // Nothing lived in the lost session yet, so that it may be made in the new one.
            Err(Error::SessionLost) => self.try_container_view(root, kinds).await,
            outcome => outcome,
        }
    }

    async fn try_container_view(&self, root: &Mor, kinds: &[&str]) -> Result<View, Error> {
        let session = self.session().await?;
        let method = "CreateContainerView";
        let mode = Mode::Bound(session.generation);
        let call = Call::new(method, &session.service.view_manager, mode, |b| {
            b.mor("container", root);
            for kind in kinds {
                b.value("type", kind);
            }
            b.value("recursive", true);
        });
        let mor = returned_mor(method, &self.call(call).await?)?;
        Ok(View { mor, generation: session.generation })
    }

    /// Gives a view back to the server. One that died with its session is no error.
    pub async fn destroy_view(&self, view: View) -> Result<(), Error> {
        let call = Call::new("DestroyView", &view.mor, Mode::Bound(view.generation), |_| {});
        match self.call(call).await {
            Err(Error::SessionLost) => Ok(()),
            outcome => outcome.map(drop),
        }
    }

    /// Reads properties and hands every object to `each`, one at a time, in no order.
    ///
    /// `page_size` is how many objects come in one answer, which is held as text while it is read:
    /// 500 objects with 20 properties are some 4 MB.
    ///
    /// [`Error::SessionLost`] after some objects were handed out means that the rest will not
    /// come: what was handed out is to be thrown away and read again.
    pub async fn retrieve(
        &self,
        scope: Scope<'_>,
        select: &[Select<'_>],
        page_size: u32,
        mut each: impl FnMut(Object),
    ) -> Result<(), Error> {
        if matches!(scope, Scope::Objects([])) {
            return Ok(());
        }
        let mut handed_out = 0_usize;
        let mut count = |object| {
            handed_out += 1;
            each(object);
        };
        match self.pages(scope, select, page_size, &mut count).await {
            Err(Error::SessionLost) if handed_out == 0 && !matches!(scope, Scope::View(_)) => {
                self.pages(scope, select, page_size, &mut each).await
            }
            outcome => outcome,
        }
    }

    /// Reads everything of the selected kinds below `root`, by a view of its own.
    pub async fn list(
        &self,
        root: &Mor,
        select: &[Select<'_>],
        page_size: u32,
        each: impl FnMut(Object),
    ) -> Result<(), Error> {
        let kinds: Vec<&str> = select.iter().map(|s| s.kind).collect();
        let view = self.container_view(root, &kinds).await?;
        let outcome = self.retrieve(Scope::View(&view), select, page_size, each).await;
        // A view that stays behind costs the server little and ends with the session.
        let _ = self.destroy_view(view).await;
        outcome
    }

    /// Reads properties of one object; none when it is gone.
    pub async fn read(&self, object: &Mor, paths: &[&str]) -> Result<Option<Object>, Error> {
        let mut found = None;
        let select = [Select { kind: &object.kind, paths }];
        let outcome = self
            .retrieve(Scope::Objects(std::slice::from_ref(object)), &select, 1, |o| found = Some(o))
            .await;
        match outcome {
            Err(error) if error.class() == Some(FaultClass::Gone) => Ok(None),
            Err(error) => Err(error),
            // With reportMissingObjectsInResults a gone object comes with the fault instead.
            Ok(()) => {
                Ok(found.filter(|o: &Object| !o.missing.iter().any(|m| m.fault.class() == FaultClass::Gone)))
            }
        }
    }

    async fn pages(
        &self,
        scope: Scope<'_>,
        select: &[Select<'_>],
        page_size: u32,
        each: &mut (impl FnMut(Object) + ?Sized),
    ) -> Result<(), Error> {
        let session = self.session().await?;
        let generation = match scope {
            Scope::View(view) => view.generation,
            _ => session.generation,
        };
        let mode = Mode::Bound(generation);
        let collector = &session.service.property_collector;
        let first = Call::new("RetrievePropertiesEx", collector, mode, |b| {
            b.element("specSet", |b| {
                write_filter(b, scope, select);
                b.value("reportMissingObjectsInResults", true);
            });
            b.element("options", |b| {
                b.value("maxObjects", page_size.max(1));
            });
        });
        let mut text = self.call_text(first).await.map_err(|error| lost_view(scope, error))?;
        loop {
            let Page { token, unauthenticated } = read_page(&text, each)?;
            if unauthenticated {
                self.session_ended(generation).await?;
                return Err(Error::SessionLost);
            }
            // Before the next page comes, so that only one is held.
            drop(text);
            let Some(token) = token else { return Ok(()) };
            let next = Call::new("ContinueRetrievePropertiesEx", collector, mode, |b| {
                b.value("token", token);
            });
            text = self.call_text(next).await?;
        }
    }
}

/// What a page says besides its objects.
struct Page {
    token: Option<String>,
    unauthenticated: bool,
}

fn read_page(text: &str, each: &mut (impl FnMut(Object) + ?Sized)) -> Result<Page, Error> {
    let mut page = Page { token: None, unauthenticated: false };
    for_each_at(text, 5, |_, element| {
        match &*element.name {
            "token" => page.token = Some(element.text),
            "objects" if !page.unauthenticated => {
                let object = Object::read(element)
                    .ok_or_else(|| Error::Protocol("an object has no reference".into()))?;
                page.unauthenticated = object.missing.iter().any(Missing::is_session);
                if !page.unauthenticated {
                    each(object);
                }
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(page)
}

/// A view that is gone went with its session, even if nobody noticed the session's end.
fn lost_view(scope: Scope<'_>, error: Error) -> Error {
    match (scope, error.fault().and_then(Fault::object)) {
        (Scope::View(view), Some(gone))
            if error.class() == Some(FaultClass::Gone) && gone.id == view.mor.id =>
        {
            Error::SessionLost
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_handed_out_object_by_object() {
        let text = "<e><b><r><returnval><token>7</token><objects><obj type=\"VirtualMachine\">vm-1</obj>\
            <propSet><name>name</name><val>a</val></propSet><missingSet><path>parent</path><fault>\
            <fault x:type=\"NoPermission\" xmlns:x=\"u\"><privilegeId>p</privilegeId></fault>\
            <localizedMessage>no</localizedMessage></fault></missingSet></objects></returnval></r></b></e>";
        let mut seen = vec![];
        let page = read_page(text, &mut |o| seen.push(o)).unwrap();
        assert_eq!((page.token.as_deref(), page.unauthenticated), (Some("7"), false));
        assert_eq!(seen[0].text("name"), Some("a"));
        assert!(matches!(seen[0].property("parent"), Property::Unreadable(f) if &*f.kind == "NoPermission"));
        assert_eq!(seen[0].property("runtime"), Property::Absent);
    }

    #[test]
    fn an_object_without_a_session_is_not_handed_out() {
        let text = "<e><b><r><returnval><objects><obj type=\"VirtualMachine\">vm-1</obj><missingSet><path>name</path>\
            <fault><fault x:type=\"NotAuthenticated\" xmlns:x=\"u\"/></fault></missingSet></objects></returnval></r></b></e>";
        let page = read_page(text, &mut |o| panic!("{o:?}")).unwrap();
        assert!(page.unauthenticated);
    }
}
