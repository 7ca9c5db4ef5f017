use proptest::prelude::*;

use super::*;

const TENANT: &str = "\
apiVersion: vertskommune.no/v1alpha1
kind: Tenant
metadata: {name: ibestad}
spec:
  displayName: Ibestad kommune
";

fn problems(text: &str) -> Vec<String> {
    read([("a.yaml", text)]).problems.iter().map(ToString::to_string).collect()
}

#[test]
fn a_problem_has_file_line_object_field_and_remedy() {
    let text = format!("# a comment\n---\n{TENANT}  netwroks: []\n  suspend: 1\n");
    assert_eq!(
        problems(&text),
        [
            "a.yaml:8: Tenant/ibestad: spec.netwroks: is an unknown field: did you mean networks?",
            "a.yaml:9: Tenant/ibestad: spec.suspend: is a number: write true or false",
        ]
    );
}

#[test]
fn one_bad_document_does_not_hide_the_others() {
    let other = TENANT.replace("ibestad", "dyroy");
    let manifests = read([
        ("a.yaml", format!("{TENANT}---\na: [b\n---\n{other}").as_str()),
        ("b.yaml", "kind: Tenant\n"),
        ("c.yaml", TENANT),
    ]);
    let names: Vec<_> = manifests.tenants.iter().map(|each| each.origin.object.as_str()).collect();
    assert_eq!(names, ["Tenant/ibestad", "Tenant/dyroy", "Tenant/ibestad"]);
    let found: Vec<_> = manifests.problems.iter().map(ToString::to_string).collect();
    assert!(found[0].starts_with("a.yaml:7: cannot be read as YAML: "), "{found:#?}");
    assert_eq!(
        found[1..],
        [
            "b.yaml:1: has no apiVersion and kind: write both, as texts",
            "c.yaml:3: Tenant/ibestad: metadata.name: is written in a.yaml:1 too: keep one of them",
        ]
    );
}

#[test]
fn other_kinds_are_skipped_and_our_own_are_known() {
    let manifests =
        read([("a.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: vcenter-main}\ndata: {}\n")]);
    assert_eq!((manifests.problems.len(), manifests.skipped[0].kind.as_str()), (0, "Secret"));
    for (from, to, expected) in [
        ("kind: Tenant", "kind: Tenent", "is of the unknown kind Tenent: did you mean Tenant?"),
        ("v1alpha1", "v1", "has the unknown apiVersion vertskommune.no/v1: write vertskommune.no/v1alpha1"),
        ("kind: Tenant", "kind: List", "is a List: write its items as documents with --- between them"),
        ("metadata: {name: ibestad}\n", "", "metadata: is missing: add it"),
        ("name: ibestad", "label: {}", "metadata.label: is an unknown field: did you mean labels?"),
    ] {
        let found = problems(&TENANT.replace(from, to));
        assert!(found[0].contains(expected), "{to}: {found:#?}");
    }
}

#[test]
fn what_an_export_adds_and_what_is_null_is_let_through() {
    let text = format!("{TENANT}  municipalityNumber: null\nstatus: {{anything: true}}\n")
        .replace("{name: ibestad}", "{name: ibestad, uid: x, managedFields: [{}], annotations: {a: b}}");
    let manifests = read([("a.yaml", text.as_str())]);
    assert_eq!(manifests.problems, []);
    assert_eq!(manifests.tenants[0].object.status, None);
}

#[test]
fn a_line_is_that_of_the_nearest_field_that_was_written() {
    let text =
        format!("{TENANT}  compute:\n    provider: vc\n    quota: {{vcpus: 1, memory: 1Gi, storage: 1Gi}}\n");
    let origin = read([("a.yaml", text.as_str())]).tenants[0].origin.clone();
    for (field, line) in [
        ("spec.compute.provider", 7),
        ("spec.compute.retireAfter", 6),
        ("spec.servers[3].name", 4),
        ("metadata.annotations[vertskommune.no/allow-destroy]", 3),
        ("", 1),
    ] {
        assert_eq!(origin.line_of(field), line, "{field}");
    }
}

#[test]
fn nonsense_is_a_problem_and_never_a_panic() {
    let alias = |i: usize| format!("a{i}: &a{i} [*a{0}, *a{0}, *a{0}, *a{0}]\n", i - 1);
    let aliases = (1..30).map(alias).collect::<Vec<_>>().concat();
    let deep = "[".repeat(10_000);
    for (text, reason) in [
        (format!("a0: &a0 [x]\n{aliases}"), "aliases upon aliases"),
        (deep, "brackets"),
        ("{".repeat(200), "braces"),
        ("- ".repeat(5_000), "lists in lists"),
        ("\u{0}".to_owned(), "zero"),
        ("\t- a".to_owned(), "tab"),
        ("a: b\na: c".to_owned(), "twice the same key"),
        ("just a text".to_owned(), "text"),
        ("- a\n- b".to_owned(), "list"),
        ("? {a: b}\n: c".to_owned(), "a map as a key"),
        ("!!binary x".to_owned(), "tag"),
        ("*nowhere".to_owned(), "alias of nothing"),
        ("a: .nan\nkind: [Tenant]\napiVersion: 1".to_owned(), "no number"),
        ("x".repeat(MAX_FILE + 1), "size"),
        (TENANT.replace("Ibestad kommune", ".inf"), "infinite name"),
        (TENANT.replace("{name: ibestad}", "[]"), "metadata that is a list"),
    ] {
        assert!(!problems(&text).is_empty(), "{reason}");
    }
    for (text, reason) in
        [("", "empty"), ("---\n---\n# c\n", "separators"), ("%YAML 1.2\n---\n", "directive"), ("~", "null")]
    {
        assert_eq!(problems(text), Vec::<String>::new(), "{reason}");
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in "[-a-z:{}\\[\\]&*!|>#%\"' \n0-9.]{0,200}") {
        let _ = read([("a.yaml", text.as_str())]);
    }

    #[test]
    fn no_spec_panics(text in "[a-z: {}\\[\\],0-9\n]{0,80}") {
        let _ = read([("a.yaml", format!("{TENANT}  servers: {text}").as_str())]);
    }
}
