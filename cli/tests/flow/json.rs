//! What `--json` prints is what `docs/schema` says.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::place::Place;

/// Each command that prints JSON, as somebody types it.
const LINES: &[(&str, &[&[&str]])] = &[
    ("banger config show", &[&["config", "show", "--json"]]),
    ("banger doctor", &[&["doctor", "--quick", "--json"]]),
    ("banger ext4 check", &[&["ext4", "check", "/dev/null", "--json"]]),
    ("banger ext4 ls", &[&["ext4", "ls", "/dev/null", "--json"]]),
    ("banger ext4 stat", &[&["ext4", "stat", "/dev/null", "/plain", "--json"]]),
    ("banger gc", &[&["gc", "--dry-run", "--json"]]),
    ("banger helper log", &[&["helper", "log", "--json"]]),
    ("banger image inspect", &[&["image", "inspect", "debian", "--json"]]),
    ("banger image ls", &[&["image", "ls", "--json"]]),
    ("banger inspect", &[&["inspect", "web", "--json"], &["inspect", "stopped", "--json"]]),
    ("banger ip", &[&["ip", "web", "--json"]]),
    ("banger ls", &[&["ls", "--json"]]),
    ("banger port", &[&["port", "web", "--json"]]),
    ("banger version", &[&["version", "--json"]]),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schema")
}

/// A judge of another making: reads pairs of a schema and a text, and says what is wrong.
const JUDGE: &str = r#"
import json, sys, jsonschema
for file, text in json.load(sys.stdin):
    schema = json.load(open(file))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(text), schema, jsonschema.Draft202012Validator)
"#;

/// Fails unless each text is what its schema says.
fn assert_valid(texts: &[(&str, &str)]) {
    let pairs: Vec<_> = texts.iter().map(|(file, text)| (folder().join(file), text)).collect();
    let mut judge = Command::new("python3")
        .args(["-c", JUDGE])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    judge.stdin.take().unwrap().write_all(&serde_json::to_vec(&pairs).unwrap()).unwrap();
    let output = judge.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn every_command_prints_what_its_schema_says() {
    let index = fs::read_to_string(folder().join("index.json")).unwrap();
    let index: BTreeMap<String, String> = serde_json::from_str(&index).unwrap();
    let lines: BTreeMap<_, _> = LINES.iter().copied().collect();
    assert_eq!(
        index.keys().map(String::as_str).collect::<Vec<_>>(),
        lines.keys().copied().collect::<Vec<_>>(),
        "every command of the index has lines here"
    );
    let place = Place::new(&[]);
    place.journal(&[crate::helper_log::ENTRY], "");
    let mut printed = Vec::new();
    for (command, file) in &index {
        for line in lines[command.as_str()] {
            let ran = place.run(line);
            assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{line:?}");
            printed.push((file.as_str(), ran.out));
        }
    }
    let texts: Vec<_> = printed.iter().map(|(file, text)| (*file, text.as_str())).collect();
    assert_valid(&texts);
}

#[test]
fn empty_lists_are_valid_and_without_advice() {
    let place = Place::new(&["no VMs", "no images"]);
    for (line, file) in
        [(&["ls", "--json"][..], "vm-list.json"), (&["image", "ls", "--json"], "image-list.json")]
    {
        let ran = place.run(line);
        assert_eq!((ran.out.as_str(), ran.err.as_str()), ("[]\n", ""));
        assert_valid(&[(file, &ran.out)]);
    }
}

#[test]
fn what_is_wrong_would_be_noticed() {
    for wrong in [r#"{"banger": 1, "bangerd": null}"#, r#"{"bangerd": null}"#] {
        assert!(
            std::panic::catch_unwind(|| assert_valid(&[("version.json", wrong)])).is_err(),
            "{wrong}"
        );
    }
}

#[test]
fn errors_are_json_too() {
    let place = Place::new(&["does not start"]);
    let ran = place.run(&["ls", "--json"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
    assert_valid(&[("error.json", &ran.err)]);
    let error: Value = serde_json::from_str(&ran.err).unwrap();
    assert_eq!(error["error"]["code"], "unavailable");
    assert_eq!(error["error"]["because"][0], "the state folder is on fire");
    let place = Place::new(&[]);
    let ran = place.run(&["image", "inspect", "nowhere", "--json"]);
    assert_eq!(ran.code, Some(1));
    assert_valid(&[("error.json", &ran.err)]);
    for line in
        [&["inspect", "--json"][..], &["ls", "--json", "--nonsense"], &["inspect", "A B", "--json"]]
    {
        let ran = place.run(line);
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{line:?}");
        assert_valid(&[("error.json", &ran.err)]);
        let error: Value = serde_json::from_str(&ran.err).unwrap();
        assert_eq!(error["error"]["code"], "usage", "{}", ran.err);
        assert!(!error["error"]["message"].as_str().unwrap().is_empty());
    }
    // The guest's own argument is not banger's.
    let ran = place.run(&["exec", "nonsense name", "--", "x", "--json"]);
    assert!(ran.err.starts_with("error: "), "{}", ran.err);
}

#[test]
fn timings_can_be_json() {
    let place = Place::new(&[]);
    let ran = place.run(&["start", "web", "--quiet", "--timings=json"]);
    assert_valid(&[("timings.json", &ran.err)]);
    let timings: Value = serde_json::from_str(&ran.err).unwrap();
    assert_eq!(timings["stages"][1]["name"], "boot_guest");
    assert_eq!(timings["stages"][1]["duration_us"], 9_000_000);
}
