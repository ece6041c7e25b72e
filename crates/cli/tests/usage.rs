//! Calls and configurations, right and wrong: one line on standard error, the right exit code.

mod support;

use support::Scratch;

const MEMORY: [&str; 2] = ["--bus", "memory:"];

#[test]
fn wrong_calls_are_refused_in_one_line_that_helps() {
    let scratch = Scratch::new();
    let table: [(&[&str], &[&str]); 20] = [
        (&["frobnicate"], &["frobnicate"]),
        (&["publsh"], &["publsh", "publish"]),
        (&["publish"], &["<TOPIC>"]),
        (&["publish", "t", "--bus", "memory:"], &["--type"]),
        (
            &["publish", "t", "--type", "x"],
            &["--bus", "BOWLINE_BUS", "bowline.toml"],
        ),
        (&["tail", "t", "--frm", "latest"], &["--frm", "--from"]),
        (
            &["tail", "t", "--bus", "memory:", "--from", "first"],
            &["first", "earliest"],
        ),
        (
            &["tail", "t", "--bus", "memory:", "--limit", "0"],
            &["--limit"],
        ),
        (
            &["tail", "t", "--bus", "memory:", "--timeout", "soon"],
            &["soon", "seconds"],
        ),
        (
            &["tail", "t", "--bus", "unx:///a"],
            &["unx", "did you mean \"unix\"?", "memory, unix, redis"],
        ),
        (
            &["tail", "t", "--bus", "events.sock"],
            &["scheme", "unix:///"],
        ),
        (
            &["tail", "t", "--bus", "unix://a/b.sock"],
            &["three slashes"],
        ),
        (
            &["tail", "t", "--bus", "memory:?relay=true"],
            &["relay", "did you mean \"replay\"?"],
        ),
        (
            &["tail", "t", "--bus", "unix:///a.sock?max_frame_byte=1"],
            &["did you mean \"max_frame_bytes\"?", "publish_deadline"],
        ),
        (
            &["tail", "t", "--bus", "unix:///a.sock?publish_deadline=5"],
            &["publish_deadline", "5s"],
        ),
        (&["tail", "t", "--config", "none.toml"], &["none.toml"]),
        (
            &["tail", "t", "--bus", "memory:", "--cache", "unix:///a"],
            &["unix", "sqlite", "upstash", "--cache"],
        ),
        (
            &["tail", "t", "--bus", "redis://u:p@h?blok=2s"],
            &["did you mean \"block\"?", "reclaim_idle"],
        ),
        (&["completions", "tcsh"], &["tcsh", "bash"]),
        (
            &[
                "publish", "t", "--bus", "memory:", "--type", "x", "--data", "1", "--ndjson",
            ],
            &["--ndjson"],
        ),
    ];
    for (args, parts) in table {
        let done = scratch.run(args, "");
        assert_eq!(done.code, Some(2), "{args:?}: {done:?}");
        assert_eq!(done.out, "", "{args:?}");
        for part in parts {
            assert!(done.failure().contains(part), "{args:?}: {done:?}");
        }
    }
}

#[test]
fn data_that_is_not_json_is_refused_and_its_source_named() {
    let scratch = Scratch::new();
    scratch.write("bad.json", "{\"n\":");
    scratch.write("latin1.json", b"\"\xe9\"");
    let table = [
        ("{", "--data"),
        ("", "--data"),
        ("1 2", "--data"),
        ("@bad.json", "bad.json"),
        ("@latin1.json", "latin1.json"),
        ("@none.json", "none.json"),
        ("@.", "\".\""),
        ("-", "standard input"),
    ];
    for (data, part) in table {
        let done = scratch.run(
            [
                "publish", "t", "--bus", "memory:", "--type", "x", "--data", data,
            ],
            "not json",
        );
        assert_eq!(done.code, Some(2), "{data}: {done:?}");
        assert!(done.failure().contains(part), "{data}: {done:?}");
        assert_eq!(done.out, "");
    }
}

#[test]
fn a_bad_line_stops_a_batch_and_is_named_and_what_came_before_is_published() {
    let scratch = Scratch::new();
    let args = [&["publish", "t", "--type", "x", "--ndjson"], &MEMORY[..]].concat();
    let done = scratch.run(args, "1\n\n{}\noops\n3\n");
    assert_eq!(done.code, Some(2), "{done:?}");
    assert_eq!(done.out.lines().count(), 2, "{done:?}");
    for part in ["line 4", "2 published"] {
        assert!(done.failure().contains(part), "{done:?}");
    }
}

#[test]
fn a_receipt_is_one_line_of_json() {
    let scratch = Scratch::new();
    let args = [&["publish", "a \"topic\"", "--type", "x"], &MEMORY[..]].concat();
    let done = scratch.run(args, "");
    assert_eq!(done.code, Some(0), "{done:?}");
    let receipt: serde_json::Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(receipt["topic"], "a \"topic\"");
    assert_eq!(receipt["index"], 0);
    assert_eq!(receipt["id"].as_str().unwrap().len(), 36);
    assert!(
        done.err.contains("memory bus"),
        "the hint is missing: {done:?}"
    );
}

#[test]
fn data_comes_from_the_call_a_file_or_standard_input() {
    let scratch = Scratch::new();
    scratch.write("data.json", "{\"n\":1}\n");
    for data in ["{\"n\":1}", "-1", "@data.json", "-"] {
        let args = [
            &["publish", "t", "--type", "x", "--data", data],
            &MEMORY[..],
        ]
        .concat();
        let done = scratch.run(args, "[1]");
        assert_eq!(done.code, Some(0), "{data}: {done:?}");
        assert_eq!(done.out.lines().count(), 1);
    }
}

/// The bus that a call with these sources would use, as `doctor` tells it.
fn chosen(scratch: &Scratch, flag: Option<&str>, variable: Option<&str>) -> (String, String) {
    let mut args = vec!["doctor", "--json"];
    args.extend(flag.iter().flat_map(|url| ["--bus", url]));
    let mut command = scratch.command(args);
    if let Some(url) = variable {
        command.env("BOWLINE_BUS", url);
    }
    let done = support::finish(command, "");
    let report: serde_json::Value =
        serde_json::from_str(&done.out).unwrap_or_else(|_| panic!("{done:?}"));
    let text = |name: &str| report[name].as_str().unwrap_or_default().to_owned();
    (text("bus"), text("from"))
}

#[test]
fn a_flag_beats_the_environment_and_the_environment_the_file() {
    let scratch = Scratch::new();
    scratch.write(
        "bowline.toml",
        "[bus]\nurl = \"memory:\"\nmax_bytes = \"3MiB\"\n",
    );
    let (flag, variable) = ("memory:?max_bytes=1MiB", "memory:?max_bytes=2MiB");
    let file = "memory:?max_bytes=3MiB";
    let table = [
        (Some(flag), Some(variable), flag, "--bus"),
        (None, Some(variable), variable, "BOWLINE_BUS"),
        (None, None, file, "bowline.toml"),
        (None, Some(""), file, "bowline.toml"),
    ];
    for (given, set, bus, from) in table {
        let expected = (bus.to_owned(), from.to_owned());
        assert_eq!(chosen(&scratch, given, set), expected);
    }
}

#[test]
fn a_file_that_is_there_must_be_right() {
    let scratch = Scratch::new();
    for (text, part) in [
        ("buss = \"memory:\"", "did you mean \"bus\"?"),
        (
            "[bus]\nurl = \"memory:\"\nrepaly = true",
            "did you mean \"replay\"?",
        ),
        ("bus = ", "line 1"),
    ] {
        scratch.write("bowline.toml", text);
        let args = [&["topics"], &MEMORY[..]].concat();
        let done = scratch.run(args, "");
        assert_eq!(done.code, Some(2), "{done:?}");
        assert!(done.failure().contains("bowline.toml"), "{done:?}");
        assert!(done.failure().contains(part), "{done:?}");
    }
}

#[test]
fn secrets_are_not_printed() {
    let scratch = Scratch::new();
    scratch.write("bowline.toml", "bus = \"redis://me:hunter2@host?blok=2s\"");
    let mut by_variable = scratch.command(["topics", "--config", "/dev/null"]);
    by_variable.env("BOWLINE_BUS", "redis://me:hunter2@host?token=hunter2");
    let runs = [
        scratch.run(["topics"], ""),
        scratch.run(
            [
                "topics",
                "--config",
                "/dev/null",
                "--bus",
                "redis://me:hunter2@host?blok=2s",
            ],
            "",
        ),
        support::finish(by_variable, ""),
    ];
    for done in runs {
        assert_eq!(done.code, Some(2), "{done:?}");
        assert!(!format!("{done:?}").contains("hunter2"), "{done:?}");
    }
}

#[test]
fn help_has_examples_and_completions_are_scripts() {
    let scratch = Scratch::new();
    for command in [
        "agent",
        "publish",
        "tail",
        "topics",
        "runs",
        "schedules",
        "doctor",
        "demo",
        "bench",
        "completions",
    ] {
        let done = scratch.run([command, "--help"], "");
        assert_eq!(done.code, Some(0), "{command}");
        assert!(done.out.contains("Examples:") && done.out.contains(&format!("bowline {command}")));
    }
    for (command, parts) in [
        (
            "agent",
            &[
                "run", "observe", "approve", "decline", "resume", "abort", "signal", "list", "runs",
            ][..],
        ),
        (
            "runs",
            &[
                "list", "show", "watch", "start", "resume", "cancel", "retry",
            ],
        ),
        (
            "schedules",
            &["list", "show", "pause", "resume", "run", "delete"],
        ),
    ] {
        for part in parts {
            let done = scratch.run([command, part, "--help"], "");
            assert_eq!(done.code, Some(0), "{command} {part}");
            let example = format!("bowline {command} {part}");
            assert!(
                done.out.contains("Examples:") && done.out.contains(&example),
                "{done:?}"
            );
        }
    }
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let done = scratch.run(["completions", shell], "");
        assert_eq!(done.code, Some(0), "{shell}");
        assert!(
            ["publish", "ndjson", "schedules", "retry"]
                .iter()
                .all(|word| done.out.contains(word)),
            "{shell}"
        );
    }
}

#[test]
fn what_is_not_for_people_is_not_shown() {
    let scratch = Scratch::new();
    for args in [
        &["--help"][..],
        &["completions", "bash"],
        &["completions", "zsh"],
    ] {
        let done = scratch.run(args, "");
        assert_eq!(done.code, Some(0));
        assert!(
            done.out.contains("publish") && !done.out.contains("demo-peer"),
            "{args:?}"
        );
    }
}

#[cfg(feature = "bench")]
#[test]
fn the_workloads_are_part_of_the_command() {
    let scratch = Scratch::new();
    let listed = scratch.run(["bench", "w1", "--list"], "");
    assert_eq!(listed.code, Some(0), "{listed:?}");
    assert!(listed.out.contains("W1"), "{listed:?}");
    let unknown = scratch.run(["bench", "w77"], "");
    assert_eq!(unknown.code, Some(2), "{unknown:?}");
}

#[test]
fn the_read_me_names_every_option() {
    let text = include_str!("../README.md");
    let options = [
        bowline_runtime::CacheConfig::option_names("sqlite"),
        bowline_runtime::CacheConfig::option_names("postgres"),
        bowline_runtime::StoreConfig::option_names("sqlite"),
        bowline_runtime::StoreConfig::option_names("postgres"),
        bowline_runtime::BusConfig::option_names("redis"),
        bowline_runtime::CacheConfig::option_names("redis"),
        bowline_runtime::CacheConfig::option_names("upstash"),
        bowline_runtime::CacheConfig::option_names("memory"),
    ];
    for name in options.into_iter().flatten().flatten() {
        assert!(text.contains(&format!("`{name}`")), "{name}");
    }
}
