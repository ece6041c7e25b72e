//! The program as it is used: short measurements, and whether their lines are what `bench/README.md` promises.

use std::process::{Command, Output};

use serde_json::Value;

fn bench(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bowline-bench"))
        .args(args)
        .env("FAILOVERS", "1")
        .output()
        .expect("the program starts")
}

/// The names of the members of the only line, in order, and the line.
fn measure(args: &[&str]) -> (Vec<String>, Value) {
    let output = bench(&[args, &["--json", "--seconds=0.05", "--warm-up=0.01"]].concat());
    let errors = String::from_utf8_lossy(&output.stderr);
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success(), "{args:?}: {errors}");
    assert_eq!(text.lines().count(), 1, "{args:?}: {text}");
    let line: Value = serde_json::from_str(&text).expect("JSON");
    let mut names: Vec<_> = line
        .as_object()
        .expect("an object")
        .keys()
        .cloned()
        .collect();
    names.sort_by_key(|name| text.find(&format!("\"{name}\":")));
    (names, line)
}

/// What every line begins and ends with, around the extras.
fn members(extras: &[&str]) -> Vec<String> {
    let head = "workload params events seconds events_per_s p50_us p99_us rss_mb";
    let all = head.split(' ').chain(extras.iter().copied());
    all.chain(["proc_cpu_s", "load1"])
        .map(String::from)
        .collect()
}

#[test]
fn fan_out_loses_nothing_and_keeps_the_order() {
    for filter in ["\"in_flight\":1000", "\"in_flight\":1,"] {
        for payload in [":200}", "json"] {
            let part = format!("{{\"subscribers\":8,{filter}");
            let (names, line) = list_one("w1", &part, payload);
            let extras = ["deliveries", "deliveries_per_s", "lost", "misordered"];
            assert_eq!(names, members(&extras));
            assert_eq!((&line["lost"], &line["misordered"]), (&0.into(), &0.into()));
            assert!(line["events"].as_u64() > Some(0));
        }
    }
}

/// Measures the one line of `workload` whose listing contains both texts.
fn list_one(workload: &str, first: &str, second: &str) -> (Vec<String>, Value) {
    let listing = bench(&[workload, "--list"]).stdout;
    let listing = String::from_utf8(listing).expect("UTF-8");
    let mut found = listing
        .lines()
        .filter(|line| line.contains(first) && line.contains(second));
    let (name, params) = found
        .next()
        .and_then(|line| line.split_once(' '))
        .expect("listed");
    assert_eq!(found.next(), None, "{first} {second}");
    measure(&[workload, &format!("--filter={name}{params}")])
}

#[test]
fn every_member_of_a_group_gets_its_share() {
    let (names, line) = measure(&["w2", "--filter=\"in_flight\":1,"]);
    assert_eq!(names, members(&["acked", "lost", "per_member"]));
    assert_eq!(
        (&line["lost"], &line["acked"]),
        (&0.into(), &line["events"])
    );
    let shares = line["per_member"].as_array().expect("four counts");
    assert!(shares.len() == 4 && shares.iter().all(|share| share.as_u64() > Some(0)));
}

#[test]
fn a_storm_of_observers_is_complete() {
    let (names, line) = measure(&["w3.storm", "--filter=\"live_during\":200"]);
    let extras = ["attach_p99_us", "complete_observers", "lost", "misordered"];
    assert_eq!(names, members(&extras));
    let seen =
        ["complete_observers", "lost", "misordered", "events"].map(|name| line[name].as_u64());
    assert_eq!(seen, [Some(1000), Some(0), Some(0), Some(1_200_000)]);
}

#[test]
fn many_topics_keep_their_histories() {
    let (_, line) = measure(&["w3.topics", "--filter=:700,"]);
    let expected = [
        ("topics_with_complete_history", 700),
        ("events_still_cached", 7000),
        ("topics_whose_index_restarted", 0),
        ("live_subscriber_got", 7000),
        ("replay_subscriber_got", 7000),
    ];
    for (name, count) in expected {
        assert_eq!(line[name], count, "{name}");
    }
}

#[test]
fn three_processes_pass_events_on() {
    let (names, line) = measure(&["w4.latency", "--filter=\"subscribers\":1,"]);
    assert_eq!(names, members(&["lost", "max_us", "roles"]));
    assert_eq!((&line["events"], &line["lost"]), (&50.into(), &0.into()));
}

/// Whether W5 can be measured here; says so when it cannot.
fn has_redis() -> bool {
    let found = std::env::var_os("REDIS_URL").is_some()
        || Command::new("redis-server")
            .arg("--version")
            .output()
            .is_ok();
    if !found {
        eprintln!("skipped: redis-server is not on PATH");
    }
    found
}

#[test]
fn a_publish_on_redis_is_put_beside_a_bare_request() {
    if !has_redis() {
        return;
    }
    let (names, line) = measure(&["w5.publish", "--filter=\"in_flight\":256"]);
    let extras = "floor_per_s of_floor floor_p50_us cpu_us floor_cpu_us redis_benchmark_per_s of_redis_benchmark";
    assert_eq!(names, members(&extras.split(' ').collect::<Vec<_>>()));
    for name in ["events", "floor_per_s", "of_floor"] {
        assert!(line[name].as_f64() > Some(0.0), "{name}: {line}");
    }
}

#[test]
fn consumers_of_a_group_work_off_a_backlog_on_redis() {
    if !has_redis() {
        return;
    }
    let part = "--filter={\"consumers\":4,\"backlog\":40000,";
    let (names, line) = measure(&["w5.group", part]);
    assert_eq!(names, members(&["lost", "per_consumer"]));
    assert_eq!(
        (&line["events"], &line["lost"]),
        (&40_000.into(), &0.into())
    );
}

#[test]
fn processes_and_subscribers_of_one_process_get_everything_on_redis() {
    if !has_redis() {
        return;
    }
    for last in [":0}", ":0,\"shared\":true}"] {
        let (names, line) = list_one("w5.fanout", "{\"subscribers\":8,\"in_flight\":256", last);
        let extras = "publish_seconds publishes_per_s deliveries_per_s lost missed out_of_order_or_dup rejected rss_pub_mb";
        assert_eq!(names, members(&extras.split(' ').collect::<Vec<_>>()));
        for name in ["lost", "missed", "out_of_order_or_dup", "rejected"] {
            assert_eq!(line[name], 0, "{name}: {line}");
        }
        assert!(line["events"].as_u64() > Some(0));
    }
}

#[test]
fn latency_on_redis_is_put_beside_that_of_a_bare_reader() {
    if !has_redis() {
        return;
    }
    let (names, line) = measure(&["w5.latency", "--filter=group"]);
    let extras = "lost max_us bare_p50_us bare_p99_us bare_one_way_p50_us bare_one_way_p99_us over_bare over_bare_one_way";
    assert_eq!(names, members(&extras.split(' ').collect::<Vec<_>>()));
    // Eight turns, six events each in the time of one.
    assert_eq!((&line["events"], &line["lost"]), (&48.into(), &0.into()));
    assert!(line["over_bare_one_way"].as_f64() > Some(0.0));
}

#[test]
fn a_stream_far_from_the_server_is_complete() {
    if !has_redis() {
        return;
    }
    let (names, line) = measure(&["w5.stream", "--filter=\"in_flight\":256"]);
    let extras = "round_trip_ms chunks_per_round_trip delivered_meanwhile lost misordered";
    assert_eq!(names, members(&extras.split(' ').collect::<Vec<_>>()));
    assert_eq!((&line["lost"], &line["misordered"]), (&0.into(), &0.into()));
    // The proxy holds every byte for so long.
    assert!(line["round_trip_ms"].as_f64() >= Some(25.0));
}

/// The extras of a line of W6.
fn engine_extras(more: &[&'static str]) -> Vec<&'static str> {
    let all = "runs failed runs_per_s per_step_us per_step_latency_us bus_events_per_run steps_extra rss_growth_mb \
               commits_per_run store_bytes_per_step kept_after_retention bus_bytes_after_retention";
    all.split_ascii_whitespace()
        .chain(more.iter().copied())
        .collect()
}

#[test]
fn runs_do_their_steps_once_and_leave_nothing_behind() {
    let lines = [
        ("w6.linear10", "{\"concurrent_runs\":50", 10, 32.0),
        ("w6.parallel100", "", 100, 302.0),
        ("w6.foreach", "\"items\":50,", 50, 52.0),
        ("w6.sqlite", "{\"concurrent_runs\":1,", 10, 32.0),
    ];
    for (workload, filter, steps, published) in lines {
        let (names, line) = measure(&[workload, &format!("--filter={filter}")]);
        assert_eq!(names, members(&engine_extras(&[])), "{workload}");
        let runs = line["runs"].as_u64().expect("a count");
        assert!(runs > 0, "{workload}: {line}");
        assert_eq!(line["events"], runs * steps, "{workload}: {line}");
        for nothing in ["failed", "steps_extra", "kept_after_retention"] {
            assert_eq!(line[nothing], 0, "{workload}: {line}");
        }
        assert_eq!(line["bus_events_per_run"], published, "{workload}");
        assert!(line["store_bytes_per_step"].as_f64() > Some(0.0));
    }
}

#[test]
fn a_long_run_tells_what_its_first_and_its_last_steps_cost() {
    let (names, line) = measure(&["w6.long", "--filter=\"steps_per_run\":1000}"]);
    let extras = engine_extras(&["head10_us", "tail10_us", "tail_over_head"]);
    assert_eq!(names, members(&extras));
    assert_eq!(line["steps_extra"], 0);
    assert!(line["head10_us"].as_f64() > Some(0.0) && line["tail10_us"].as_f64() > Some(0.0));
}

#[test]
fn a_role_that_cannot_go_on_says_so_and_ends_with_70() {
    let too_long = format!("/tmp/{}", "x".repeat(200));
    for (address, reason) in [
        (too_long.as_str(), "107"),
        ("redis://h?maxlen=1", "max_stream_length"),
    ] {
        let output = bench(&["--role", address]);
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        assert_eq!(output.status.code(), Some(70));
        let last: Value = serde_json::from_str(&text).expect("one message");
        assert!(
            last["fatal"]
                .as_str()
                .is_some_and(|fatal| fatal.contains(reason)),
            "{text}"
        );
    }
}

#[test]
fn a_fresh_process_delivers_its_first_event() {
    let (names, line) = measure(&["w9", "--filter=\"kind\":\"bus\""]);
    assert_eq!(names, members(&[]));
    assert_eq!(line["events"], 11);
}

#[test]
fn what_cannot_be_measured_is_refused_with_the_reason() {
    for (args, reason) in [
        (vec!["w8"], "no workload \"w8\""),
        (vec!["w1", "--seconds=-1"], "from 0 on"),
        (vec!["w4", "--roles=broker=deno"], "use rust or node"),
        (vec!["w4", "--roles=boss=rust"], "no role \"boss\""),
    ] {
        let output = bench(&args);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && errors.contains(reason),
            "{args:?}: {errors}"
        );
    }
}

#[test]
fn an_agent_streams_every_delta_in_order_and_leaves_nothing_behind() {
    let extras = "run_p50_ms run_p99_ms runs runs_per_s first_delta_p50_us first_delta_p99_us bus_events_per_run lost misordered \
                  without_finish rss_growth_mb commits_per_run store_bytes_per_run kept_after_retention bus_bytes_after_retention";
    let extras: Vec<_> = extras.split_ascii_whitespace().collect();
    let (names, line) = measure(&["w7.durable", "--filter=W7.durable{\"concurrent_runs\":50"]);
    assert_eq!(names, members(&extras));
    assert_eq!(
        (&line["events"], &line["runs"]),
        (&100_000.into(), &100.into())
    );
    // The start, three before the first delta and four after the last, as in the reference.
    assert_eq!(line["bus_events_per_run"], 1008.0);
    for nothing in &extras[7..10] {
        assert_eq!(line[nothing], 0, "{nothing}: {line}");
    }
    for nothing in &extras[13..] {
        assert_eq!(line[nothing], 0, "{nothing}: {line}");
    }
}

#[test]
fn a_paced_agent_and_its_readers_lose_nothing() {
    let (names, line) = measure(&["w7.evented.paced"]);
    assert_eq!(names, members(&["lost"]));
    assert_eq!((&line["events"], &line["lost"]), (&10.into(), &0.into()));

    let (names, line) = measure(&["w7.observe", "--filter=\"observers\":50"]);
    let extras = [
        "first_delta_p50_us",
        "lost",
        "misordered",
        "without_finish",
        "cold_ms",
    ];
    assert_eq!(names, members(&extras));
    assert_eq!(line["events"], 25_200);
    for nothing in &extras[1..4] {
        assert_eq!(line[*nothing], 0, "{nothing}: {line}");
    }
}
