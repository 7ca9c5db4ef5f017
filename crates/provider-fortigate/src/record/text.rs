//! FortiOS's configuration text, `config … edit … set … next … end`, read into what stands in it. Knows no table.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Chars;

/// Tables within tables, at most. FortiOS itself needs five.
const DEEPEST: usize = 16;

/// The configuration, or a table, or a row of one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Section {
    /// What is set here: one value, or several.
    pub(crate) set: BTreeMap<String, Vec<String>>,
    /// The tables within, by the words that name them, such as `firewall policy`.
    pub(crate) tables: BTreeMap<String, Section>,
    rows: Vec<(String, Section)>,
    places: BTreeMap<String, usize>,
}

/// Why a text is no configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TextError {
    /// The rest is missing.
    #[error("it ends within {within}: a part of the text is missing")]
    CutOff {
        /// What was not closed.
        within: String,
    },
    /// Something that does not stand in a configuration.
    ///
    /// What it is, is not said: a configuration holds secrets, and where a quote is missing any part of one may stand there.
    #[error("line {line} is no configuration")]
    Unexpected {
        /// Counted from 1.
        line: usize,
    },
    /// Tables within tables without end.
    #[error("line {line}: there are more than {DEEPEST} tables within each other")]
    TooDeep {
        /// Counted from 1.
        line: usize,
    },
}

impl Section {
    /// Reads a whole text.
    pub(crate) fn read(text: &str) -> Result<Self, TextError> {
        let mut reader = Reader { chars: text.chars().peekable(), line: 1 };
        let mut whole = Self::default();
        reader.fill(&mut whole, &Within::Nothing, 0)?;
        Ok(whole)
    }

    /// The rows of a table in their order, with their keys.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (&str, &Self)> {
        self.rows.iter().map(|(key, row)| (key.as_str(), row))
    }

    /// The row with this key.
    pub(crate) fn row(&self, key: &str) -> Option<&Self> {
        self.places.get(key).map(|place| &self.rows[*place].1)
    }

    /// The row with this key, made where it is not there: a table may be opened several times.
    fn edit(&mut self, key: String) -> &mut Self {
        let place = *self.places.entry(key.clone()).or_insert(self.rows.len());
        if place == self.rows.len() {
            self.rows.push((key, Self::default()));
        }
        &mut self.rows[place].1
    }
}

/// What is being read.
enum Within {
    Nothing,
    Table(String),
    Row(String),
}

impl Within {
    /// What it means that the text ends here.
    fn ended(&self) -> Result<Closed, TextError> {
        match self {
            Self::Nothing => Ok(Closed::AtTheEnd),
            Self::Table(what) | Self::Row(what) => Err(TextError::CutOff { within: what.clone() }),
        }
    }
}

/// How it was closed.
#[derive(PartialEq, Eq)]
enum Closed {
    Next,
    End,
    AtTheEnd,
}

struct Reader<'a> {
    chars: Peekable<Chars<'a>>,
    line: usize,
}

impl Reader<'_> {
    /// Reads into a section until it is closed.
    fn fill(&mut self, section: &mut Section, within: &Within, depth: usize) -> Result<Closed, TextError> {
        loop {
            let line = self.line;
            let Some(words) = self.command(within)? else { return within.ended() };
            if depth > DEEPEST {
                return Err(TextError::TooDeep { line });
            }
            let (word, rest) =
                words.split_first().map_or(("", &words[..]), |(word, rest)| (word.as_str(), rest));
            match (word, rest, within) {
                ("config", [_, ..], _) => {
                    let name = rest.join(" ");
                    let table = section.tables.entry(name.clone()).or_default();
                    self.fill(table, &Within::Table(name), depth + 1)?;
                }
                ("edit", [key], Within::Table(table)) => {
                    let row = Within::Row(format!("{table} {key}"));
                    // Where its table is closed, a row need not be.
                    if self.fill(section.edit(key.clone()), &row, depth + 1)? == Closed::End {
                        return Ok(Closed::End);
                    }
                }
                ("set", [name, values @ ..], Within::Table(_) | Within::Row(_)) => {
                    section.set.insert(name.clone(), values.to_vec());
                }
                ("unset", [name], Within::Table(_) | Within::Row(_)) => drop(section.set.remove(name)),
                ("next", [], Within::Row(_)) => return Ok(Closed::Next),
                ("end", [], Within::Table(_) | Within::Row(_)) => return Ok(Closed::End),
                _ => return Err(TextError::Unexpected { line }),
            }
        }
    }

    /// The words of the next line that has any. A quoted text may go on over several lines.
    fn command(&mut self, within: &Within) -> Result<Option<Vec<String>>, TextError> {
        let mut words = Vec::new();
        while let Some(next) = self.chars.peek().copied() {
            match next {
                '\n' => {
                    self.take();
                    if !words.is_empty() {
                        break;
                    }
                }
                '#' if words.is_empty() => {
                    while self.chars.peek().is_some_and(|it| *it != '\n') {
                        self.take();
                    }
                }
                it if it.is_whitespace() || it == '\u{feff}' => drop(self.take()),
                _ => words.push(self.word(within)?),
            }
        }
        Ok((!words.is_empty()).then_some(words))
    }

    fn word(&mut self, within: &Within) -> Result<String, TextError> {
        let mut word = String::new();
        let mut quote = None;
        while let Some(next) = self.chars.peek().copied() {
            if quote.is_none() && next.is_whitespace() {
                return Ok(word);
            }
            self.take();
            match next {
                '\\' if quote != Some('\'') => word.extend(self.take()),
                '"' | '\'' if quote == Some(next) => quote = None,
                // An apostrophe within a word is one.
                '"' => match quote {
                    None => quote = Some('"'),
                    Some(_) => word.push(next),
                },
                '\'' if quote.is_none() && word.is_empty() => quote = Some('\''),
                other => word.push(other),
            }
        }
        if quote.is_none() {
            return Ok(word);
        }
        let within = match within {
            Within::Nothing => "a quoted text".to_owned(),
            Within::Table(what) | Within::Row(what) => format!("a quoted text of {what}"),
        };
        Err(TextError::CutOff { within })
    }

    fn take(&mut self) -> Option<char> {
        let taken = self.chars.next();
        self.line += usize::from(taken == Some('\n'));
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"#config-version=FGVM64-7.4.8-FW-build2795-000000:opmode=0:vdom=1:user=admin
#global_vdom=1

config vdom
edit root
next
edit other
next
end

config global
config system global
    set hostname "fw-a"
    set alias ''
end
end

config vdom
edit root
config firewall policy
    edit 5
        set srcaddr "a \"b\"" "c\\d" plain
        set comments "one
# two"
        config inner
            edit 1
                set x it's
            next
        end
        unset comments-of
    next
    edit 2
    end
end
"#;

    #[test]
    fn a_text_gives_what_stands_in_it() {
        let whole = Section::read(TEXT).unwrap();
        let global = &whole.tables["global"].tables["system global"];
        assert_eq!(
            (&global.set["hostname"][..], &global.set["alias"][..]),
            (&["fw-a".to_owned()][..], &[String::new()][..])
        );
        let vdoms = &whole.tables["vdom"];
        assert_eq!(vdoms.rows().map(|(key, _)| key).collect::<Vec<_>>(), ["root", "other"], "opened twice");
        let policies = &vdoms.row("root").unwrap().tables["firewall policy"];
        assert_eq!(policies.rows().map(|(key, _)| key).collect::<Vec<_>>(), ["5", "2"], "in their order");
        let first = policies.row("5").unwrap();
        assert_eq!(first.set["srcaddr"], ["a \"b\"", "c\\d", "plain"]);
        assert_eq!(first.set["comments"], ["one\n# two"]);
        assert_eq!(first.tables["inner"].row("1").unwrap().set["x"], ["it's"]);
        assert_eq!(policies.row("9"), None);
    }

    #[test]
    fn nonsense_is_an_error_that_says_where() {
        for (text, expected) in [
            ("<html>\n<body>", "line 1 is no configuration"),
            ("config a\nset\nend", "line 2 is no configuration"),
            ("config a\nedit 1\nedit 2\nend", "line 3 is no configuration"),
            ("set a b", "line 1 is no configuration"),
            ("config a\nset b c\nENC c2VjcmV0\nend", "line 3 is no configuration"),
            ("config a\nend\nend", "line 3 is no configuration"),
            ("config a\nnext\nend", "line 2 is no configuration"),
            (
                "config a\nedit 1\nset b \"c",
                "it ends within a quoted text of a 1: a part of the text is missing",
            ),
            ("config a\nedit 1\nset b c\n", "it ends within a 1: a part of the text is missing"),
            ("config a\nedit 1\nnext\n", "it ends within a: a part of the text is missing"),
        ] {
            assert_eq!(Section::read(text).unwrap_err().to_string(), expected, "{text}");
        }
        let deep = "config a\n".repeat(100_000);
        assert_eq!(Section::read(&deep), Err(TextError::TooDeep { line: 18 }));
    }

    #[test]
    fn a_text_that_is_cut_off_anywhere_within_a_table_is_an_error() {
        let whole: Vec<(usize, char)> = TEXT.char_indices().collect();
        // Between two of its outermost tables, nothing tells that the rest is missing.
        let ends: Vec<usize> = TEXT.match_indices("end\n\n").map(|(at, _)| at + 3).collect();
        let first = TEXT.find("config vdom").unwrap();
        for (at, _) in whole.into_iter().filter(|(at, _)| *at > first && *at < TEXT.len() - 1) {
            let between = ends.iter().any(|end| (*end..*end + 3).contains(&at));
            assert_eq!(Section::read(&TEXT[..at]).is_ok(), between, "{:?}", &TEXT[at - 10..at]);
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_a_panic(text in "(config|edit|set|next|end|unset|[a-z]{1,3}|\"|'|\\\\|#| |\n|.){0,80}") {
            let _ = Section::read(&text);
        }

        #[test]
        fn a_quoted_text_comes_back(value in "[ -~\næøå]{0,40}") {
            let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
            let text = format!("config a\n    edit \"{quoted}\"\n        set b \"{quoted}\" 1\n    next\nend\n");
            let whole = Section::read(&text).unwrap();
            let row = whole.tables["a"].row(&value).unwrap();
            proptest::prop_assert_eq!(&row.set["b"], &vec![value, "1".to_owned()]);
        }
    }
}
