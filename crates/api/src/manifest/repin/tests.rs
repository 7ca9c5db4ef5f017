use proptest::prelude::*;

use super::*;
use crate::manifest::{self, Manifests};

const FROM: &str = "baseline@3";
const TO: &str = "baseline@12";

fn change(text: &str) -> Result<String, Vec<Problem>> {
    let read = manifest::read([("a.yaml", text)]);
    assert_eq!(read.problems, [], "{text}");
    repin(text, &pins(&read))
}

/// Every pin of `FROM` in these manifests, to be changed.
fn pins(read: &Manifests) -> Vec<Repin<'_>> {
    let of = |tenant: &'_ manifest::Manifest<crate::Tenant>| {
        tenant.object.spec.rule_sets().position(|pin| pin == FROM)
    };
    let pin = |tenant| {
        let index = of(tenant)?;
        Some(Repin { origin: &tenant.origin, index, from: FROM.to_owned(), to: TO.to_owned() })
    };
    read.tenants.iter().filter_map(pin).collect()
}

fn tenant(firewall: &str) -> String {
    format!(
        "apiVersion: vertskommune.no/v1alpha1\nkind: Tenant\nmetadata: {{name: ibestad}}\nspec:\n  displayName: Dyrøy, \
         baseline@3\n  firewall: {firewall}\n"
    )
}

#[test]
fn a_pin_is_changed_in_every_form_in_which_it_may_stand() {
    for firewall in [
        "{provider: f, ruleSets: [baseline@3]}",
        "{provider: f, ruleSets: [!!str baseline@3]}",
        "{provider: f, ruleSets: [school@2, 'baseline@3' , \"school2@1\"]} # baseline@3",
        "\n    provider: f\n    ruleSets:\n    - school@2 # baseline@3\n    - \"baseline@3\"   # not baseline@4",
        "\n    provider: f\n    ruleSets:\n      - baseline@3",
        "{\"ruleSets\": [\n      # baseline@3\n      baseline@3,\n      ], provider: f}",
        "\n    provider: f\n    ruleSets: [baseline@3] \n    rules: []\n---\n# baseline@3\napiVersion: v1\nkind: Secret\nx: baseline@3",
    ] {
        for ends in ["\n", "\r\n"] {
            for mark in ["", "\u{feff}"] {
                let text = format!("{mark}{}", tenant(firewall)).replace('\n', ends);
                let changed = change(&text).unwrap_or_else(|wrong| panic!("{text}: {wrong:?}"));
                let at = changed.find(TO).unwrap();
                assert_eq!(changed.replacen(TO, FROM, 1), text, "nothing else");
                assert_eq!(text.get(at..at + FROM.len()), Some(FROM));
                let read = manifest::read([("a.yaml", changed.as_str())]);
                assert!(read.tenants[0].object.spec.rule_sets().any(|pin| pin == TO), "{changed}");
            }
        }
    }
}

#[test]
fn a_pin_in_another_form_is_refused_with_its_place() {
    for firewall in [
        "{provider: f, ruleSets: [\"baseline\\x403\"]}",
        "\n    provider: f\n    ruleSets:\n    - >-\n      baseline@3",
        "\n    provider: f\n    ruleSets:\n    - &pin baseline@3\n    rules:\n    - {id: a, from: [b], to: [c], services: [d], \
         comment: *pin}",
        "\n    addresses: [{name: a, comment: &pin baseline@3, cidr: 10.0.0.0/8}]\n    provider: f\n    ruleSets: [*pin]",
        "\n    ruleSets: &sets [baseline@3]\n    provider: f\n    addressGroups: [{name: a, members: *sets}]",
    ] {
        let wrong = change(&tenant(firewall)).unwrap_err();
        let place = "Tenant/ibestad: spec.firewall.ruleSets[0]: cannot be changed";
        assert!(wrong[0].to_string().contains(place), "{firewall}: {wrong:?}");
    }
}

/// What one document looks like.
#[derive(Clone, Debug)]
struct Form {
    block: bool,
    quote: &'static str,
    before: Vec<String>,
    after: Vec<String>,
    comment: String,
    display_name: String,
    pins: bool,
}

fn form() -> impl Strategy<Value = Form> {
    let others = || prop::collection::vec("[a-z]{1,8}@[1-9]", 0..3);
    let quote = prop::sample::select(vec!["", "'", "\""]);
    let text =
        || prop_oneof![Just(FROM.to_owned()), "[a-zøæ #@']{0,12}", Just("ruleSets: [baseline@3]".to_owned())];
    (any::<bool>(), quote, others(), others(), text(), text(), any::<bool>()).prop_map(
        |(block, quote, before, after, comment, display_name, pins)| Form {
            block,
            quote,
            before,
            after,
            comment,
            display_name,
            pins,
        },
    )
}

impl Form {
    /// The document with that pin in the place of `FROM`.
    fn text(&self, number: usize, pin: &str) -> String {
        let pin = self.pins.then(|| format!("{q}{pin}{q}", q = self.quote));
        let sets: Vec<String> =
            self.before.iter().cloned().chain(pin).chain(self.after.iter().cloned()).collect();
        let sets = if self.block && !sets.is_empty() {
            let items: Vec<_> =
                sets.iter().map(|set| format!("\n    # {}\n    - {set} # {FROM}", self.comment)).collect();
            items.concat()
        } else {
            format!(" [{}] # {}", sets.join(" , "), self.comment)
        };
        format!(
            "# {}\napiVersion: vertskommune.no/v1alpha1\nkind: Tenant\nmetadata: {{name: t{number}}}\nspec:\n  \
             displayName: {:?}\n  firewall:\n    ruleSets:{sets}\n    provider: f\n",
            self.comment, self.display_name
        )
    }
}

proptest! {
    #[test]
    fn nothing_but_the_pins_changes(
        forms in prop::collection::vec(form(), 1..4), crlf in any::<bool>(), mark in any::<bool>(),
    ) {
        let file = |pin: &str| {
            let documents: Vec<_> = forms.iter().enumerate().map(|(i, form)| form.text(i, pin)).collect();
            let text = format!("{}{}", if mark { "\u{feff}" } else { "" }, documents.join("---\n"));
            if crlf { text.replace('\n', "\r\n") } else { text }
        };
        let (text, wanted) = (file(FROM), file(TO));
        let (before, after) = (manifest::read([("a.yaml", text.as_str())]), manifest::read([("a.yaml", wanted.as_str())]));
        prop_assert_eq!(&before.problems, &[]);
        let changed = repin(&text, &pins(&before));
        prop_assert_eq!(changed.as_deref(), Ok(wanted.as_str()));
        for (was, is) in before.tenants.iter().zip(&after.tenants) {
            let mut expected = was.object.clone();
            if let Some(firewall) = &mut expected.spec.firewall {
                for pin in firewall.rule_sets.iter_mut().filter(|pin| *pin == FROM) {
                    TO.clone_into(pin);
                }
            }
            prop_assert_eq!(&is.object, &expected);
        }
    }
}
