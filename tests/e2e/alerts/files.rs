//! What stands in the files of alerts, runbooks and the chart fits together.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value as Json;
use vertskommune_core::reason::Reason;
use vertskommune_tests::estate::in_tree;
use vertskommune_tests::lab;
use vertskommune_tests::replay::Prometheus;

const URL: &str = "https://github.com/vertskommune/vertskommune/blob/main/docs/runbooks/";

#[test]
fn every_alert_has_a_runbook_and_every_runbook_an_alert() {
    let Some(prometheus) = Prometheus::of_the_lab() else { return };
    let rules = prometheus.rules().unwrap();
    let index = std::fs::read_to_string(in_tree("docs/runbooks/README.md")).unwrap();
    for rule in &rules {
        let (name, said) = (&rule.alert, &rule.annotations);
        assert_eq!(said["runbook_url"], format!("{URL}{name}.md"));
        let page = std::fs::read_to_string(in_tree(&format!("docs/runbooks/{name}.md"))).unwrap();
        let severity = &rule.labels["severity"];
        assert!(["critical", "warning"].contains(&severity.as_str()), "{name}: {severity}");
        assert!(page.starts_with(&format!("# {name}\n\n`{severity}`")), "{name}");
        for part in [
            "**What it means.**",
            "**Who is affected.**",
            "## Look first",
            "## Do\n",
            "## It clears",
            "## Do not",
        ] {
            assert!(page.contains(part), "{name} lacks {part}");
        }
        assert!(
            index.contains(&format!("| [{name}]({name}.md) | {severity} |")),
            "{name} is not in the index"
        );
        // Whoever is woken reads this first.
        let remedy = ["kubectl", "Secret", "systemctl"].iter().any(|word| said["description"].contains(word));
        assert!(remedy && said["description"].len() > 100 && said["summary"].len() < 100, "{name}: {said:?}");
    }
    let pages = std::fs::read_dir(in_tree("docs/runbooks")).unwrap();
    let pages: BTreeSet<String> = pages.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    let alerts = rules.iter().map(|rule| format!("{}.md", rule.alert)).chain(["README.md".to_owned()]);
    assert_eq!(pages, alerts.collect::<BTreeSet<_>>());
}

/// A word that no reason has (any more) would let an alert fire that it was to keep silent, or never.
#[test]
fn every_reason_that_an_alert_names_is_one() {
    let Some(prometheus) = Prometheus::of_the_lab() else { return };
    let mut found = 0;
    for rule in prometheus.rules().unwrap() {
        let matchers = rule.expr.split("reason").skip(1).filter(|rest| rest.starts_with(['=', '!']));
        for words in matchers.filter_map(|rest| rest.split('"').nth(1)) {
            for word in words.split('|') {
                assert!(Reason::of(word).is_some(), "{}: {word}", rule.alert);
                found += 1;
            }
        }
    }
    assert!(found > 40, "{found}");
}

#[test]
fn the_chart_brings_both_files_as_they_are_where_they_are_wanted() {
    let Some(bin) = lab::bin() else { return };
    let render = |switches: &[&str]| -> Vec<Json> {
        let mut helm = Command::new(bin.join("helm"));
        helm.args(["template", "vertskommune", &in_tree("deploy/chart")]);
        for switch in switches {
            helm.args(["--set", switch]);
        }
        let output = helm.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        serde_saphyr::from_multiple(&text).unwrap()
    };
    let is_ours = |it: &&Json| it["kind"] == "PrometheusRule" || it["kind"] == "ConfigMap";
    assert_eq!(render(&[]).iter().filter(is_ours).count(), 0, "nobody gets them who has no Prometheus");
    let objects = render(&[
        "metrics.alerts.enabled=true",
        "metrics.alerts.labels.release=kps",
        "metrics.dashboard.enabled=true",
    ]);
    let find = |kind: &str| objects.iter().find(|it| it["kind"] == kind).unwrap();
    let rules: Json =
        serde_saphyr::from_str(&std::fs::read_to_string(in_tree("deploy/chart/files/alerts.yaml")).unwrap())
            .unwrap();
    assert_eq!(find("PrometheusRule")["spec"], rules);
    assert_eq!(find("PrometheusRule")["metadata"]["labels"]["release"], "kps");
    let dashboard = std::fs::read_to_string(in_tree("deploy/chart/files/dashboard.json")).unwrap();
    assert_eq!(find("ConfigMap")["data"]["vertskommune.json"], dashboard);
    assert_eq!(find("ConfigMap")["metadata"]["labels"]["grafana_dashboard"], "1");
}
