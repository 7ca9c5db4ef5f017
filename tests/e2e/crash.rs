//! The crash test: the connection to the API server or to the vCenter is cut at every write that their own journals
//! know of, before it is carried out and before its answer is read; the controller dies there with all that it
//! remembers, and a new one goes on. In the end exactly the same stands as after a run without a crash.
//!
//! A crash after the answer of one write is the same as one before the next, and after the last there is nothing left.
//! At every point the controller is dropped within this process; at a sample that rotates with the days it is the real
//! program that gets SIGKILL.

mod stage;

use serde_json::{Value as Json, json};
use vertskommune_provider::testing::Cut;
use vertskommune_tests::estate::{tenant, tenant_name};

use stage::{Death, Order, Point, Run, Scenario, Stage};

/// How often the real program is killed in each of the three scenarios.
const KILLED: usize = 5;
/// How often a point is tried that was not come by: how often progress is written depends on the clock.
const TRIES: usize = 3;

/// What came of the tries at one point.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Visit {
    Made,
    /// A run went its whole way without that write, so that there is nothing to be cut.
    NoSuchWrite,
    /// The write was there in each run and was not cut.
    Missed,
}

/// Runs the scenario once whole, once for each point of its journals, and once for each of the sample.
async fn crash_everywhere(what: &str, scenario: Scenario) {
    let Some(mut stage) = Stage::set().await else { return };
    let whole = stage.run(&scenario, None, Death::Dropped).await;
    is_clean(what, &whole, &whole, "a run without a crash");
    let points = points(&whole);
    let sample = sample(&points);
    let mut visits = Vec::new();
    for (index, point) in points.iter().enumerate() {
        visits.push((*point, crash_at(&mut stage, what, &scenario, &whole, *point, Death::Dropped).await));
        if (index + 1).is_multiple_of(10) {
            println!("{what}: {} of {} points", index + 1, points.len());
        }
    }
    let made = visits.iter().filter(|(_, visit)| *visit == Visit::Made).count();
    for point in &sample {
        visits.push((*point, crash_at(&mut stage, what, &scenario, &whole, *point, Death::Killed).await));
    }
    println!(
        "{what}: {} writes to Kubernetes, {} to vCenter; points visited {made} of {}, of them by SIGKILL as well {}; orphans \
         0, doubles 0, foreign objects touched 0",
        whole.kubernetes.len(),
        whole.vcenter,
        points.len(),
        sample.len(),
    );
    // Only how often a status is written depends on the clock.
    let is_amiss = |(point, visit): &(Point, Visit)| match visit {
        Visit::Made => false,
        Visit::NoSuchWrite => matches!(point, Point::VCenter(..)),
        Visit::Missed => true,
    };
    visits.retain(is_amiss);
    let amiss: Vec<Point> = visits.into_iter().map(|(point, _)| point).collect();
    assert!(amiss.is_empty(), "{what}: never cut at {amiss:?}");
}

/// Has the work cut at the point. What it left is held against what a whole run leaves.
async fn crash_at(
    stage: &mut Stage,
    what: &str,
    scenario: &Scenario,
    whole: &Run,
    point: Point,
    death: Death,
) -> Visit {
    let mut visit = Visit::Missed;
    for _ in 0..TRIES {
        let run = stage.run(scenario, Some(point), death).await;
        is_clean(what, &run, whole, &format!("a crash at {point:?} ({death:?})"));
        if run.visited {
            return Visit::Made;
        }
        if !points(&run).contains(&point) {
            visit = Visit::NoSuchWrite;
        }
    }
    visit
}

fn is_clean(what: &str, run: &Run, whole: &Run, after: &str) {
    assert_eq!(run.tenant, whole.tenant, "{what}: after {after}");
    assert_eq!(run.orphans, Vec::<String>::new(), "{what}: orphans after {after}");
    assert_eq!(run.doubles, Vec::<String>::new(), "{what}: doubles after {after}");
    assert!(run.foreign_is_whole, "{what}: something foreign was touched after {after}");
}

fn points(whole: &Run) -> Vec<Point> {
    let cuts = [Cut::Before, Cut::After];
    let kubernetes = (0..whole.kubernetes.len()).flat_map(|nth| cuts.map(|cut| Point::Kubernetes(nth, cut)));
    let vcenter = (0..whole.vcenter).flat_map(|nth| cuts.map(|cut| Point::VCenter(nth, cut)));
    kubernetes.chain(vcenter).collect()
}

/// Other points each day, all of them in the course of some days.
fn sample(points: &[Point]) -> Vec<Point> {
    let days = jiff::Timestamp::now().as_second() / 86_400;
    let first = usize::try_from(days).unwrap() * KILLED;
    (first..first + KILLED).map(|index| points[index % points.len()]).collect()
}

/// More and larger disks, another VLAN, and fewer processors, which takes a restart.
fn changed(number: u16) -> Json {
    let mut tenant = tenant(number);
    tenant["spec"]["servers"][0]["disks"] =
        json!([{"name": "data", "size": "20Gi"}, {"name": "logs", "size": "5Gi"}]);
    tenant["spec"]["servers"][1]["vcpus"] = json!(1);
    tenant["spec"]["servers"][1]["restartBefore"] = json!("2100-01-01T00:00:00Z");
    tenant["spec"]["networks"][0]["vlan"] = json!(4094 - number);
    tenant
}

fn leaving(number: u16) -> Json {
    let mut tenant = tenant(number);
    tenant["metadata"]["annotations"] = json!({"vertskommune.no/confirm-removal": tenant_name(number)});
    tenant["spec"]["deletionPolicy"] = json!({"servers": "Remove"});
    tenant["spec"]["compute"]["retireAfter"] = json!("1s");
    tenant
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_anywhere_in_an_onboarding() {
    crash_everywhere("onboarding", Scenario { before: None, order: Order::Apply(tenant) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_anywhere_in_a_change() {
    crash_everywhere("change", Scenario { before: Some(tenant), order: Order::Apply(changed) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_anywhere_in_a_removal() {
    crash_everywhere("removal", Scenario { before: Some(leaving), order: Order::Delete }).await;
}
