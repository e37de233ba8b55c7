//! What a panic costs. Each case is a process of its own, because it ends the process or says how all of it panics.

#![allow(clippy::unwrap_used, reason = "a test's helper may panic as its tests do")]

use std::process::{Command, Output};
use std::thread;
use std::time::Duration;

use csi_runtime::logging::{self, Format};
use csi_runtime::metrics::Metrics;
use csi_runtime::panics;

/// Names what the child is to do.
const ROLE: &str = "BERTH_TEST_PANIC";

/// What a child that goes on says at its end.
const ALIVE: &str = "still alive";

/// This test, again, in a process of its own that plays `role`.
fn child(role: &str) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "the_child_plays_its_role", "--nocapture"]).env(ROLE, role).env_remove("RUST_LOG");
    command.output().unwrap()
}

#[test]
fn the_child_plays_its_role() {
    let Ok(role) = std::env::var(ROLE) else { return };
    logging::init(Format::Json, "info").unwrap();
    panics::are_fatal();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        match role.as_str() {
            "vital" => drop(tokio::spawn(panics::vital("the sweeper", async { panic!("on purpose") }))),
            "unnamed" => drop(tokio::spawn(async { panic!("on purpose") })),
            "thread" => {
                let named = thread::Builder::new().name("lease".to_owned());
                let _panics = named.spawn(|| panic!("on purpose")).unwrap().join();
            }
            "contained" => contained().await,
            other => panic!("no role {other}"),
        }
        // Longer than it takes to end.
        tokio::time::sleep(Duration::from_secs(if role == "contained" { 0 } else { 30 })).await;
    });
    println!("{ALIVE}");
}

async fn contained() {
    let metrics = Metrics::new();
    panics::register(&metrics);
    // The panic comes after a turn in another place: what counts is what is being polled, not who began it.
    let work = async {
        tokio::task::yield_now().await;
        assert!(metrics.encode().is_err(), "on {}", "purpose");
    };
    let error = panics::contained("a claim", work).await.unwrap_err();
    assert_eq!(error.to_string(), "a claim panicked, which is a bug: on purpose");
    assert!(panics::contained_call::<()>("a mount", || panic!("on purpose")).is_err());
    assert_eq!(panics::contained("a claim", async { 7 }).await.unwrap(), 7);
    // A vital task that does contained work is vital again after it.
    panics::vital("the worker", async { assert!(panics::contained("a claim", async { panic!() }).await.is_err()) })
        .await;
    let text = metrics.encode().unwrap();
    for line in ["berth_panics_total{task=\"a claim\"} 2", "berth_panics_total{task=\"a mount\"} 1"] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
}

#[test]
fn a_panic_that_nobody_contains_ends_the_process_and_names_the_task() {
    for (role, task) in [("vital", "the sweeper"), ("unnamed", "tokio-"), ("thread", "lease")] {
        let Output { status, stdout, stderr } = child(role);
        let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        assert_eq!(status.code(), Some(panics::EXIT_CODE), "{role}: {stderr}");
        assert!(!stdout.contains(ALIVE) && !stdout.contains("test result"), "{role}: it has gone on: {stdout}");
        let line = stderr.lines().find(|line| line.contains("a panic: the process cannot go on")).unwrap();
        for part in
            [&format!("\"task\":\"{task}"), "\"reason\":\"on purpose\"", "\"place\":\"csi-runtime/tests/panics.rs:"]
        {
            assert!(line.contains(part), "{part} in {line}");
        }
    }
}

#[test]
fn a_contained_panic_costs_its_work_and_is_told_and_counted() {
    let Output { status, stdout, stderr } = child("contained");
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success() && stdout.contains(ALIVE), "{stdout}{stderr}");
    let told = stderr.lines().filter(|line| line.contains("a panic: this piece of work is lost")).count();
    assert_eq!(told, 3, "{stderr}");
}

/// A profile that aborts has no contained panics, and no test of another profile would notice.
#[test]
fn released_programs_unwind() {
    let manifest = include_str!("../../Cargo.toml");
    let (_, release) = manifest.split_once("[profile.release]").unwrap();
    assert!(release.lines().any(|line| line == "panic = \"unwind\""), "{release}");
}
