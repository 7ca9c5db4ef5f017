//! Secrets of a test that must not show anywhere, and the search for them in whatever form they would have there.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// So much of a text is shown on either side of what was found.
const AROUND: usize = 100;

/// Shorter, it could be there by chance.
const SHORTEST: usize = 6;

/// What is searched for.
pub(crate) struct Canaries {
    /// By the first two bytes: a log is long, and there are many forms.
    forms: Vec<Vec<Form>>,
}

#[derive(Clone, Debug)]
struct Form {
    told: String,
    bytes: Vec<u8>,
}

impl Canaries {
    pub(crate) fn new() -> Self {
        Self { forms: vec![Vec::new(); 1 << 16] }
    }

    /// Has a secret searched for. Half of it is too much already.
    pub(crate) fn add(&mut self, name: &str, secret: &[u8]) {
        let (first, second) = secret.split_at(secret.len() / 2);
        for (which, half) in [("first", first), ("second", second)] {
            assert!(half.len() >= SHORTEST, "{name} is too short to be searched for");
            for (form, bytes) in forms(half) {
                let told = format!("the {which} half of {name} as {form}");
                self.forms[pair(&bytes)].push(Form { told, bytes });
            }
        }
    }

    /// The same for a private key of OpenSSH: its lines, and the number that is all of the secret.
    pub(crate) fn add_key(&mut self, name: &str, text: &str) {
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("-----")).collect();
        // The first line is that of all keys.
        for line in lines.iter().skip(1).filter(|line| line.len() >= 2 * SHORTEST) {
            self.add(&format!("a line of {name}"), line.as_bytes());
        }
        let whole = STANDARD.decode(lines.concat()).unwrap();
        let length = 64_u32.to_be_bytes();
        let at = whole.windows(length.len()).rposition(|it| it == length).unwrap() + length.len();
        self.add(&format!("the number of {name}"), &whole[at..at + 32]);
    }

    /// What of them shows in a text, and around what.
    pub(crate) fn seen_in(&self, place: &str, text: &[u8]) -> Vec<String> {
        let (mut told, mut seen) = (BTreeSet::new(), Vec::new());
        for at in 0..text.len().saturating_sub(1) {
            for form in &self.forms[pair(&text[at..])] {
                if text[at..].starts_with(&form.bytes) && told.insert(&form.told) {
                    let end = (at + form.bytes.len() + AROUND).min(text.len());
                    let around = String::from_utf8_lossy(&text[at.saturating_sub(AROUND)..end]);
                    seen.push(format!("{place}: {}: …{around}…", form.told));
                }
            }
        }
        seen
    }
}

fn pair(bytes: &[u8]) -> usize {
    usize::from(u16::from_be_bytes([bytes[0], bytes[1]]))
}

/// All forms in which it would be known: as it is, as Windows has text, and as programs write bytes.
fn forms(secret: &[u8]) -> Vec<(String, Vec<u8>)> {
    let wide: Vec<u8> = secret.iter().flat_map(|byte| [*byte, 0]).collect();
    let mut forms = Vec::new();
    for (what, bytes) in [("text", secret), ("UTF-16LE", &wide)] {
        forms.push((what.to_owned(), bytes.to_vec()));
        let hex = bytes.iter().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").unwrap();
            hex
        });
        forms.push((format!("hex of {what}"), hex.to_uppercase().into_bytes()));
        forms.push((format!("hex of {what}"), hex.into_bytes()));
        let debug = format!("{bytes:?}");
        forms.push((format!("Debug of {what}"), debug.trim_matches(['[', ']']).as_bytes().to_vec()));
        // What stands before it in the same text decides how the letters fall.
        for before in 0..3 {
            let padded = [&vec![0; before], bytes].concat();
            let (first, end) = ((before * 8).div_ceil(6), padded.len() * 8 / 6);
            for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
                let letters = engine.encode(&padded).as_bytes()[first..end].to_vec();
                forms.push((format!("base64 of {what}"), letters));
            }
        }
    }
    forms
}

/// What other programs make of `canary-0123456789`.
#[test]
fn a_canary_is_found_in_every_form() {
    let mut canaries = Canaries::new();
    canaries.add("it", b"canary-0123456789");
    for (form, text) in [
        ("text", &b"password=canary-0123456789;"[..]),
        ("text", b"only canary-0 of it"),
        ("text", b"only 123456789"),
        ("UTF-16LE", b"c\0a\0n\0a\0r\0y\0-\x000\x001\x002\x003\x004\x005\x006\x007\x008\x009\0"),
        // printf %s canary-0123456789 | base64, and with x and xx before it.
        ("base64 of text", b"Y2FuYXJ5LTAxMjM0NTY3ODk="),
        ("base64 of text", b"eGNhbmFyeS0wMTIzNDU2Nzg5"),
        ("base64 of text", b"eHhjYW5hcnktMDEyMzQ1Njc4OQ=="),
        // printf %s canary-0123456789 | iconv -t UTF-16LE | base64
        ("base64 of UTF-16LE", b"YwBhAG4AYQByAHkALQAwADEAMgAzADQANQA2ADcAOAA5AA=="),
        // printf %s canary-0123456789 | xxd -p, in capitals, and as above.
        ("hex of text", b"63616e6172792d30313233343536373839"),
        ("hex of text", b"63616E6172792D30313233343536373839"),
        ("hex of UTF-16LE", b"630061006e006100720079002d00300031003200"),
        ("Debug of text", b"data: [99, 97, 110, 97, 114, 121, 45, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57]"),
    ] {
        let seen = canaries.seen_in("a text", text);
        assert!(
            seen.iter().any(|it| it.contains(&format!("half of it as {form}:"))),
            "{}: {seen:#?}",
            String::from_utf8_lossy(text)
        );
    }
    let others = canaries.seen_in("a text", b"canary- 123456 MDEyMzQ1");
    assert_eq!(others, Vec::<String>::new());
}
