//! `docs/parameters.md` is read here: what it promises is what the crate does.

use std::{collections::BTreeSet, error::Error, fs, path::Path};

use volume::{MountOptions, Parameters, SharePath, VolumeId, names};

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/parameters.md");
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The text between a heading and the next one.
fn section(heading: &str) -> String {
    let page = page();
    let (_, after) = page.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no heading {heading:?}"));
    after.split("\n#").next().unwrap_or_default().to_owned()
}

/// First and second cell of each row of a section's table.
fn rows(section: &str) -> Vec<(String, String)> {
    let table = section.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    table
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let mut cells = line.trim_matches('|').split(" | ");
            let mut cell = || cells.next().unwrap_or_default().trim().trim_end_matches('|').trim().to_owned();
            (cell(), cell())
        })
        .collect()
}

fn words(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

fn sentence(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[test]
fn every_parameter_is_documented_and_no_other() {
    let section = section("## StorageClass");
    let documented: Vec<String> = rows(&section).iter().flat_map(|(key, _)| words(key)).map(str::to_owned).collect();
    assert_eq!(documented, names::parameter::ALL);
    let variables = self::section("### Templates");
    let documented: Vec<String> = rows(&variables).iter().flat_map(|(key, _)| words(key)).map(str::to_owned).collect();
    assert_eq!(documented, names::variable::ALL.map(|name| format!("${{{name}}}")));
    let attributes = self::section("## PersistentVolume");
    let documented: Vec<String> = rows(&attributes).iter().flat_map(|(key, _)| words(key)).map(str::to_owned).collect();
    assert_eq!(documented, names::context::ALL);
}

#[test]
fn every_documented_option_is_understood() {
    let section = section("## Mount options");
    let mut understood = 0;
    for (names, values) in rows(&section) {
        let range = values.split([' ', ',']).find(|word| word.parse::<u32>().is_ok());
        let values = words(&values);
        let value = values.first().copied().or(range).or(values.is_empty().then_some("10"));
        for name in words(&names).into_iter().filter(|&name| name != "minorversion") {
            let with_value = value.map(|value| format!("{name}={value}"));
            let legal = [Some(name.to_owned()), with_value]
                .into_iter()
                .flatten()
                .any(|option| MountOptions::parse(&[option], 2049).is_ok());
            assert!(legal, "{name} is documented, and refused");
            understood += 1;
        }
    }
    assert!(understood > 60, "found only {understood} options");
}

#[test]
fn the_documented_defaults_are_in_force() {
    let section = section("## Mount options");
    let (_, defaults) = section.split_once("Defaults, ").expect("a sentence about defaults");
    let defaults: BTreeSet<&str> = words(defaults.split_once("\n\n").expect("a paragraph").0).into_iter().collect();
    let key = MountOptions::default().pool_key();
    assert_eq!(defaults, key.split(',').collect());
    assert_eq!(
        words(&rows(&self::section("## StorageClass"))[3].1),
        [format!("0{:o}", volume::parameters::DEFAULT_MODE)]
    );
}

/// What the driver says about a parameter with a value, in a class that is otherwise right.
fn said(key: &str, value: Option<&str>) -> String {
    let mut class = [("server", "nfs"), ("share", "/")].map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
    class.retain(|(known, _)| known != key);
    class.extend(value.map(|value| (key.to_owned(), value.to_owned())));
    sentence(&Parameters::parse(&class.into_iter().collect()).expect_err("a wrong class"))
}

fn option_said(option: &str) -> String {
    sentence(&MountOptions::parse(&[option], 2049).expect_err("a wrong option"))
}

#[test]
fn the_documented_messages_are_those_that_people_get() {
    let long: SharePath = format!("/{}", "x".repeat(120)).parse().expect("a path");
    let no_room = VolumeId::new(&"nfs".parse().expect("a server"), &long, "pvc-1").expect_err("too long");
    let messages = [
        said("subdir", Some("x")),
        said("server", None),
        said("server", Some("nfs:/exports")),
        said("share", Some("exports")),
        said("subDir", Some("${pvc.metadata.nme}")),
        said("subDir", Some("../x")),
        said("mountPermissions", Some("0o999")),
        said("uid", Some("root")),
        said("onDelete", Some("archive")),
        sentence(&no_room),
        option_said("noresport"),
        option_said("vers=3"),
    ];
    let documented: Vec<String> =
        rows(&section("## What a refused class looks like")).into_iter().map(|(cell, _)| cell).collect();
    assert_eq!(documented.len(), messages.len());
    for (documented, message) in documented.iter().zip(&messages) {
        let documented = documented.trim_matches('`');
        let matches = match documented.strip_suffix('…') {
            Some(beginning) => message.starts_with(beginning),
            None => message == documented,
        };
        assert!(matches, "documented: {documented}\nsaid:       {message}");
    }
}
