//! The schemas of what `--json` prints: kept in `docs/schema`, made from the types that are
//! printed, one for every command that has the flag.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::Value;

use super::{config, doctor, ext4, gc, helper, image, version, vm};
use crate::terminal::{JsonError, JsonTimings};

/// A file of `docs/schema`, what it describes, and the commands that print it.
type Row = (&'static str, &'static str, Schema, &'static [&'static str]);

fn schema<T: JsonSchema>() -> Schema {
    SchemaGenerator::default().into_root_schema_for::<T>()
}

fn rows() -> Vec<Row> {
    vec![
        ("error.json", "A failure, on standard error", schema::<JsonError>(), &[]),
        ("timings.json", "Stages, on standard error", schema::<JsonTimings<'_>>(), &[]),
        ("vm.json", "A VM", schema::<vm::Json<'_>>(), &["inspect"]),
        ("vm-list.json", "All VMs", schema::<Vec<vm::Json<'_>>>(), &["ls"]),
        ("image.json", "An image", schema::<image::Json<'_>>(), &["image inspect"]),
        ("image-list.json", "All images", schema::<Vec<image::Json<'_>>>(), &["image ls"]),
        ("ext4-list.json", "Entries of an image", schema::<Vec<ext4::JsonEntry>>(), &["ext4 ls"]),
        ("ext4-stat.json", "An entry of an image", schema::<ext4::JsonStat>(), &["ext4 stat"]),
        (
            "ext4-check.json",
            "Whether an image is in order",
            schema::<ext4::JsonCheck>(),
            &["ext4 check"],
        ),
        ("config.json", "Every setting", schema::<Vec<config::Json<'_>>>(), &["config show"]),
        ("doctor.json", "Whether VMs run here", schema::<doctor::Json<'_>>(), &["doctor"]),
        ("garbage.json", "What has no owner", schema::<Vec<gc::Json<'_>>>(), &["gc"]),
        (
            "helper-log.json",
            "The root helper's log",
            schema::<Vec<helper::Entry>>(),
            &["helper log"],
        ),
        ("address.json", "Where a guest is", schema::<vm::JsonAddress>(), &["ip"]),
        ("port-list.json", "Published ports", schema::<Vec<vm::JsonPort>>(), &["port"]),
        ("version.json", "Versions", schema::<version::Json>(), &["version"]),
    ]
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schema")
}

/// The text of every file of the folder.
fn generated() -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut index = BTreeMap::new();
    for (file, title, mut schema, commands) in rows() {
        schema.insert("title".into(), title.into());
        files.insert(file.to_owned(), serde_json::to_string_pretty(&schema).unwrap() + "\n");
        for command in commands {
            index.insert(format!("banger {command}"), file);
        }
    }
    files.insert("index.json".into(), serde_json::to_string_pretty(&index).unwrap() + "\n");
    files
}

#[test]
fn the_kept_schemas_are_those_of_the_types() {
    let generated = generated();
    if std::env::var_os("BANGER_WRITE_SCHEMAS").is_some() {
        fs::create_dir_all(folder()).unwrap();
        for (file, text) in &generated {
            fs::write(folder().join(file), text).unwrap();
        }
    }
    let advice = "BANGER_WRITE_SCHEMAS=1 cargo nextest run -p banger the_kept_schemas";
    for (file, text) in &generated {
        let kept = fs::read_to_string(folder().join(file)).unwrap_or_default();
        assert!(
            kept == *text,
            "docs/schema/{file} is not what the types say; write it anew: {advice}"
        );
    }
    for entry in fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(generated.contains_key(&name), "docs/schema/{name} describes nothing");
    }
}

/// The commands below `command` that have `--json`.
fn with_json(command: &clap::Command, path: &str, found: &mut Vec<String>) {
    for child in command.get_subcommands().filter(|child| child.get_name() != "vm") {
        let path = format!("{path} {}", child.get_name());
        if child.get_arguments().any(|argument| argument.get_id() == "json") {
            found.push(path.trim().to_owned());
        }
        with_json(child, &path, found);
    }
}

#[test]
fn every_command_with_json_has_a_schema() {
    let mut found = Vec::new();
    with_json(&crate::arguments::command(), "", &mut found);
    let mut described: Vec<_> =
        rows().iter().flat_map(|row| row.3).map(|command| (*command).to_owned()).collect();
    found.sort();
    described.sort();
    assert_eq!(
        found, described,
        "left: commands with --json; right: those in rows() above, which is where to add one, \
         with a line for it in cli/tests/flow/json.rs"
    );
}

/// Every property below `schema`, with its name.
fn properties(schema: &Value, found: &mut Vec<(String, Value)>) {
    match schema {
        Value::Object(members) => {
            if let Some(Value::Object(own)) = members.get("properties") {
                found.extend(own.iter().map(|(name, schema)| (name.clone(), schema.clone())));
            }
            members.values().for_each(|member| properties(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| properties(item, found)),
        _ => {}
    }
}

#[test]
fn names_and_units_follow_one_rule() {
    let mut found = Vec::new();
    for (_, _, schema, _) in rows() {
        properties(schema.as_value(), &mut found);
    }
    assert!(found.len() > 30, "the properties were found");
    for (name, schema) in found {
        let snake = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        assert!(name.chars().all(snake), "{name} is not in snake case");
        let is_number = schema.to_string().contains("\"integer\"");
        let says = |words: &[&str]| words.iter().any(|word| name.contains(word));
        if is_number && says(&["size", "memory", "disk", "allocated", "free", "used_"]) {
            assert!(says(&["_mib", "_bytes"]), "the unit of {name} is not in its name");
        }
        if is_number && says(&["duration", "total", "time", "uptime", "timeout"]) {
            assert!(
                says(&["_us", "_ms", "_s", "_bytes", "_mib"]),
                "the unit of {name} is not in its name"
            );
        }
        if name.ends_with("_at") {
            assert!(is_number, "{name} is not in seconds since the epoch");
        }
    }
}
