//! Reads answers. Elements above the asked depth are walked over and not kept, so that a page of
//! a thousand objects costs the memory of one.

use quick_xml::Reader;
use quick_xml::events::{BytesRef, BytesStart, Event};

use super::Element;
use crate::Error;

/// The API nests some 20 deep. More is no answer of vCenter.
const MAX_DEPTH: usize = 128;

/// Reads a whole document into one element.
pub(crate) fn parse(text: &str) -> Result<Element, Error> {
    let mut root = None;
    for_each_at(text, 1, |_, element| {
        root = Some(element);
        Ok(())
    })?;
    root.ok_or_else(|| Error::Protocol("the document is empty".into()))
}

/// Hands every element at `depth` (the root is at 1) to `each`, with the names of its ancestors,
/// and drops it before the next is read.
///
/// A SOAP answer has the envelope at 1, the body at 2, the response at 3 and `returnval` at 4.
pub(crate) fn for_each_at(
    text: &str,
    depth: usize,
    mut each: impl FnMut(&[Box<str>], Element) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut reader = Reader::from_str(text);
    let mut walk = Walk { above: Vec::new(), open: Vec::new(), depth };
    loop {
        let event = reader.read_event().map_err(|e| Error::Protocol(e.to_string()))?;
        let done = match event {
            Event::Start(start) => walk.start(&start)?,
            Event::Empty(start) => {
                walk.start(&start)?;
                walk.end()
            }
            Event::End(_) => walk.end(),
            Event::Text(text) => walk.text(&text.xml10_content()),
            Event::CData(text) => walk.text(&text.xml10_content()),
            Event::GeneralRef(entity) => walk.text(character(&entity)?.encode_utf8(&mut [0; 4])),
            Event::Eof => break,
            _ => None,
        };
        if let Some(element) = done {
            each(&walk.above, element)?;
        }
    }
    if walk.above.is_empty() && walk.open.is_empty() {
        Ok(())
    } else {
        // A connection that closes early may look like a whole answer to HTTP.
        Err(Error::Protocol("the document ends in the middle".into()))
    }
}

/// Where the reader stands: ancestors above the asked depth, and open elements from there on.
struct Walk {
    above: Vec<Box<str>>,
    open: Vec<Element>,
    depth: usize,
}

impl Walk {
    fn start(&mut self, start: &BytesStart<'_>) -> Result<Option<Element>, Error> {
        if self.above.len() + self.open.len() >= MAX_DEPTH {
            return Err(Error::Protocol(format!("the document nests deeper than {MAX_DEPTH}")));
        }
        if self.above.len() + 1 < self.depth {
            self.above.push(start.local_name().as_ref().into());
        } else {
            self.open.push(element(start)?);
        }
        Ok(None)
    }

    /// Closes an element, and returns it if it stands at the asked depth.
    fn end(&mut self) -> Option<Element> {
        let Some(mut element) = self.open.pop() else {
            self.above.pop();
            return None;
        };
        if !element.children.is_empty() {
            // Only white space between the children.
            element.text = String::new();
        }
        match self.open.last_mut() {
            None => Some(element),
            Some(parent) => {
                parent.children.push(element);
                None
            }
        }
    }

    fn text(&mut self, text: &str) -> Option<Element> {
        if let Some(element) = self.open.last_mut() {
            element.text.push_str(text);
        }
        None
    }
}

fn element(start: &BytesStart<'_>) -> Result<Element, Error> {
    let mut kind: Box<str> = Box::default();
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|e| Error::Protocol(e.to_string()))?;
        // Whatever prefix a server gives to XMLSchema-instance.
        if attribute.key.local_name().as_ref() != "type" {
            continue;
        }
        // A reference may have both: `type="Folder" xsi:type="ManagedObjectReference"`.
        let of_reference = attribute.key.prefix().is_none();
        if of_reference || kind.is_empty() {
            let value: &str = attribute.value.as_ref();
            kind = value.rsplit(':').next().unwrap_or(value).into();
        }
        if of_reference {
            break;
        }
    }
    Ok(Element { name: start.local_name().as_ref().into(), kind, ..Element::default() })
}

fn character(entity: &BytesRef<'_>) -> Result<char, Error> {
    let name: &str = entity;
    let known = match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => entity.resolve_char_ref().ok().flatten(),
    };
    known.ok_or_else(|| Error::Protocol(format!("unknown entity {name:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str, depth: usize) -> Vec<String> {
        let mut seen = vec![];
        for_each_at(text, depth, |above, e| {
            seen.push(format!("{}/{}={}", above.join("/"), e.name, e.text));
            Ok(())
        })
        .unwrap();
        seen
    }

    #[test]
    fn text_entities_and_types() {
        let e = parse(
            "<?xml version='1.0'?>\n<a xmlns:x='u'> <b x:type=\"xsd:string\"> &lt;&#x41;&amp;&#13;<![CDATA[<c>]]></b>\n<m type='Folder' x:type='ManagedObjectReference'>group-1</m><e/></a>",
        )
        .unwrap();
        assert_eq!(e.text, "");
        assert_eq!((&*e.children[0].kind, e.text_at("b")), ("string", Some(" <A&\r<c>")));
        assert_eq!(e.get("m").and_then(Element::mor), Some(Mor::new("Folder", "group-1")));
        assert_eq!(e.get("e").and_then(Element::mor), None);
        assert_eq!(e.children.len(), 3);
    }

    #[test]
    fn only_the_asked_depth() {
        let text = "<e><b><r><v>1</v><v><x>2</x></v><v/></r></b></e>";
        assert_eq!(names(text, 4), ["e/b/r/v=1", "e/b/r/v=", "e/b/r/v="]);
        assert_eq!(names(text, 3), ["e/b/r="]);
        assert_eq!(names(text, 9), Vec::<String>::new());
    }

    #[test]
    fn values() {
        let e =
            parse("<a><i>-7</i><t>true</t><n>x</n><o><v><key>k</key><value>w</value></v></o></a>").unwrap();
        assert_eq!(
            (e.int_at("i"), e.int_at("n"), e.bool_at("t"), e.bool_at("i")),
            (Some(-7), None, Some(true), None)
        );
        assert_eq!(e.get("o").unwrap().options().collect::<Vec<_>>(), [("k", "w")]);
        assert_eq!(e.text_at("o.v.key"), Some("k"));
    }

    #[test]
    fn broken_documents_are_errors() {
        let deep = format!("{}{}", "<a>".repeat(200), "</a>".repeat(200));
        for bad in ["", "<a>", "<a></b>", "<a>&nbsp;</a>", "<a><b></a>", &deep] {
            assert!(parse(bad).is_err(), "{}", &bad[..bad.len().min(20)]);
        }
    }

    use crate::Mor;
}
