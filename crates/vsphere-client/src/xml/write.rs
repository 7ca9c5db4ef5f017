//! Writes the body of a request, element by element, in the order in which it is told.

use std::fmt::{Display, Write as _};

use crate::Mor;

/// The XML inside a request's method element.
///
/// vCenter reads with a forward cursor: the order of the calls is the order of the type's fields
/// in the WSDL, which [`crate::order`] checks.
#[derive(Default)]
pub(crate) struct Body {
    text: String,
    unsendable: bool,
}

impl Body {
    /// A body that `write` fills.
    pub(crate) fn with(write: impl FnOnce(&mut Body)) -> Body {
        let mut body = Body::default();
        write(&mut body);
        body
    }

    /// The XML, or nothing when a text holds a character that XML cannot carry.
    pub(crate) fn finish(self) -> Option<String> {
        (!self.unsendable).then_some(self.text)
    }

    /// An element of its declared type.
    pub(crate) fn element(&mut self, name: &str, write: impl FnOnce(&mut Body)) -> &mut Self {
        let _ = write!(self.text, "<{name}>");
        write(self);
        let _ = write!(self.text, "</{name}>");
        self
    }

    /// An element of a subtype of its declared type.
    pub(crate) fn typed(&mut self, name: &str, kind: &str, write: impl FnOnce(&mut Body)) -> &mut Self {
        let _ = write!(self.text, "<{name} xsi:type=\"{kind}\">");
        write(self);
        let _ = write!(self.text, "</{name}>");
        self
    }

    /// A simple value.
    pub(crate) fn value(&mut self, name: &str, value: impl Display) -> &mut Self {
        let value = value.to_string();
        self.element(name, |b| b.escaped(&value))
    }

    /// A simple value if there is one.
    pub(crate) fn option(&mut self, name: &str, value: Option<impl Display>) -> &mut Self {
        if let Some(value) = value {
            self.value(name, value);
        }
        self
    }

    /// A simple value where any type is allowed, so that its own has to be said.
    pub(crate) fn any(&mut self, name: &str, xsd: &str, value: impl Display) -> &mut Self {
        let value = value.to_string();
        self.typed(name, xsd, |b| b.escaped(&value))
    }

    /// A reference.
    pub(crate) fn mor(&mut self, name: &str, mor: &Mor) -> &mut Self {
        let _ = write!(self.text, "<{name} type=\"");
        self.escaped(&mor.kind);
        self.text.push_str("\">");
        self.escaped(&mor.id);
        let _ = write!(self.text, "</{name}>");
        self
    }

    /// A reference if there is one.
    pub(crate) fn option_mor(&mut self, name: &str, mor: Option<&Mor>) -> &mut Self {
        if let Some(mor) = mor {
            self.mor(name, mor);
        }
        self
    }

    fn escaped(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '&' => self.text.push_str("&amp;"),
                '<' => self.text.push_str("&lt;"),
                '>' => self.text.push_str("&gt;"),
                '"' => self.text.push_str("&quot;"),
                // A bare one would arrive as a line feed, and a sysprep answer file has them.
                '\r' => self.text.push_str("&#13;"),
                '\n' | '\t' => self.text.push(c),
                c if c < ' ' || matches!(c, '\u{fffe}' | '\u{ffff}') => self.unsendable = true,
                c => self.text.push(c),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Body;
    use crate::Mor;
    use crate::xml::parse;

    #[test]
    fn what_is_written_is_read_again() {
        let nasty = "a<b>&\"'\r\n\té]]>";
        let xml = Body::with(|b| {
            b.element("r", |b| {
                b.value("v", nasty)
                    .option("n", None::<i32>)
                    .any("a", "xsd:int", 7)
                    .mor("m", &Mor::new("Task", "t&1"));
            });
        });
        let read = parse(&xml.finish().unwrap()).unwrap();
        assert_eq!(read.text_at("v"), Some(nasty));
        assert_eq!(read.get("n"), None);
        assert_eq!(read.get("a").map(|a| (&*a.kind, a.int())), Some(("int", Some(7))));
        assert_eq!(&*read.get("m").unwrap().kind, "Task");
        // Entities in references are not read in ids, only in text.
        assert_eq!(read.text_at("m"), Some("t&1"));
    }

    #[test]
    fn control_characters_cannot_be_sent() {
        assert!(
            Body::with(|b| {
                b.value("v", "\u{1}");
            })
            .finish()
            .is_none()
        );
    }
}
