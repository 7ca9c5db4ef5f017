//! One XML element of an answer, with what is in it.

use std::fmt;

use crate::Mor;

/// One element: its local name, its type, its text and its children.
///
/// Values of the vim25 API have no attributes that matter but their type, so no others are kept.
/// Prints without its text, as `config.extraConfig` and kin may hold passwords.
#[derive(Clone, Default, PartialEq)]
pub struct Element {
    /// The name without a prefix.
    pub name: Box<str>,
    /// `xsi:type` without its prefix, or the `type` attribute of a reference. Empty when absent.
    pub kind: Box<str>,
    /// The text, unescaped. Empty when there are children.
    pub text: String,
    /// The children in document order.
    pub children: Vec<Element>,
}

impl fmt::Debug for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (length, children) = (self.text.len(), self.children.len());
        write!(f, "Element({} {}, {length} bytes, {children} children)", self.name, self.kind)
    }
}

impl Element {
    /// The first child of this name.
    pub fn get(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| &*child.name == name)
    }

    /// All children of this name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> + 'a {
        self.children.iter().filter(move |child| &*child.name == name)
    }

    /// The element at a path of names with dots between, such as `backing.port.portgroupKey`.
    pub fn at(&self, path: &str) -> Option<&Element> {
        path.split('.').try_fold(self, |element, name| element.get(name))
    }

    /// The text at a path.
    pub fn text_at(&self, path: &str) -> Option<&str> {
        self.at(path).map(|element| element.text.as_str())
    }

    /// The number at a path; none when it is absent or no whole number.
    pub fn int_at(&self, path: &str) -> Option<i64> {
        self.at(path).and_then(Element::int)
    }

    /// The truth value at a path; none when it is absent or neither `true` nor `false`.
    pub fn bool_at(&self, path: &str) -> Option<bool> {
        self.at(path).and_then(Element::bool)
    }

    /// The text as a whole number.
    pub fn int(&self) -> Option<i64> {
        self.text.trim().parse().ok()
    }

    /// The text as a truth value.
    pub fn bool(&self) -> Option<bool> {
        match self.text.trim() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        }
    }

    /// The element as a reference; none when it has no type or no id.
    pub fn mor(&self) -> Option<Mor> {
        let named = !self.kind.is_empty() && !self.text.is_empty();
        named.then(|| Mor::new(self.kind.clone(), self.text.as_str()))
    }

    /// The children as references: what an `ArrayOfManagedObjectReference` holds.
    pub fn mors(&self) -> impl Iterator<Item = Mor> + '_ {
        self.children.iter().filter_map(Element::mor)
    }

    /// The key and value pairs of an `ArrayOfOptionValue`, such as `config.extraConfig`.
    pub fn options(&self) -> impl Iterator<Item = (&str, &str)> + '_ {
        self.children.iter().filter_map(|option| Some((option.text_at("key")?, option.text_at("value")?)))
    }

    /// Takes the first child of this name out.
    pub fn into_child(self, name: &str) -> Option<Element> {
        self.children.into_iter().find(|child| &*child.name == name)
    }
}
