//! The Dockerfile, held against the image that the lab writes without it. There is no container builder here, so its stages
//! are gone through by hand: the command of its first stage runs on nothing but what `.dockerignore` lets through, in mounts
//! that lay that over the checkout, and its second stage must give what the lab's image has.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use labkit::base::{LabError, Tool, checkout};

use super::{binaries::Binaries, image};

/// Builds the Dockerfile's first stage and compares its second with the lab's image.
pub fn check(binaries: &Binaries) -> Result<(), LabError> {
    let text = read("Dockerfile")?;
    let file = Dockerfile::parse(&text).map_err(|why| LabError::Unmet(format!("Dockerfile: {why}")))?;
    let ignore = read(".dockerignore")?;
    let out = checkout().join("target/image/out");
    for program in ["berth-controller", "berth-node"] {
        // What an earlier run left must not be taken for this one's.
        let _ = fs::remove_file(out.join(program));
    }
    // The same folder, so that what cargo has built already is fresh, and only what is missing from it can fail.
    let script = format!(
        "set -eu\nbare=$(mktemp -d)\nmount -t tmpfs none \"$bare\"\nfor name in {} target; do\n\
         if [ -d \"$name\" ]; then mkdir \"$bare/$name\"; else touch \"$bare/$name\"; fi\n\
         mount --bind \"$name\" \"$bare/$name\"\ndone\nmount --rbind \"$bare\" \"$PWD\"\ncd \"$PWD\"\n{}",
        context(&ignore).join(" "),
        file.run.replace("/out", &out.display().to_string())
    );
    let words = ["--mount", "--propagation", "private", "--", "sh", "-c", &script];
    Tool::new("unshare").args(words).dir(checkout()).deadline(Duration::from_mins(20)).output()?;
    let mut faults = Vec::new();
    for program in [binaries.controller(), binaries.node()] {
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let same = |path: &Path| fs::read(path).map_err(LabError::file(path));
        if same(&out.join(&name))? != same(&program)? {
            faults.push(format!("its {name} is not what `make image` packs"));
        }
        if !file.copied.contains(&format!("/out/{name}")) {
            faults.push(format!("it does not copy {name}"));
        }
    }
    faults.extend(file.differs());
    if faults.is_empty() { Ok(()) } else { Err(LabError::Unmet(format!("Dockerfile: {}", faults.join("; ")))) }
}

fn read(name: &str) -> Result<String, LabError> {
    let path = checkout().join(name);
    fs::read_to_string(&path).map_err(LabError::file(&path))
}

/// What a `.dockerignore` that begins with `*` lets through.
fn context(ignore: &str) -> Vec<&str> {
    ignore.lines().filter_map(|line| line.strip_prefix('!')).map(str::trim).collect()
}

/// What the check needs to know of a Dockerfile with two stages.
#[derive(Debug, Default)]
struct Dockerfile {
    /// Command of the first stage, without its mounts.
    run: String,
    /// Where the second stage starts from.
    base: String,
    /// What the second stage copies from the first.
    copied: Vec<String>,
    user: String,
    labels: Vec<(String, String)>,
}

impl Dockerfile {
    fn parse(text: &str) -> Result<Self, String> {
        let joined = text.replace("\\\n", " ");
        let lines = joined.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let (mut file, mut stages) = (Self::default(), 0);
        for line in lines {
            let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            let words = || rest.split_whitespace();
            match (word, stages) {
                ("FROM", _) => {
                    stages += 1;
                    words().next().unwrap_or_default().clone_into(&mut file.base);
                }
                ("RUN", 1) if file.run.is_empty() => {
                    file.run = words().skip_while(|word| word.starts_with("--")).collect::<Vec<_>>().join(" ");
                }
                ("WORKDIR" | "COPY", 1) => {}
                ("COPY", 2) => {
                    let sources: Vec<String> =
                        words().filter(|word| !word.starts_with("--")).map(str::to_owned).collect();
                    // The last word is where they go.
                    file.copied.extend(sources.into_iter().rev().skip(1));
                }
                ("USER", 2) => rest.trim().clone_into(&mut file.user),
                ("LABEL", 2) => file.labels = labels(rest),
                _ => return Err(format!("`{line}` in stage {stages} is not something that the check knows")),
            }
        }
        if stages == 2 { Ok(file) } else { Err(format!("{stages} stages, not 2")) }
    }

    /// What differs between the second stage and the lab's image.
    fn differs(&self) -> Vec<String> {
        let config = image::config();
        let mut faults = Vec::new();
        if self.base != "scratch" {
            faults.push(format!("its image starts from {}", self.base));
        }
        if config.user().as_ref() != Some(&self.user) {
            faults.push(format!("its user is {:?}, the image's {:?}", self.user, config.user()));
        }
        let found: BTreeMap<&String, &String> = config.labels().iter().flatten().collect();
        let labels: BTreeMap<&String, &String> = self.labels.iter().map(|(key, value)| (key, value)).collect();
        if labels != found {
            faults.push(format!("its labels are {labels:?}, the image's {found:?}"));
        }
        faults
    }
}

/// `key="value" …`
fn labels(text: &str) -> Vec<(String, String)> {
    let parts: Vec<&str> = text.split('"').collect();
    parts.chunks_exact(2).map(|pair| (pair[0].trim().trim_end_matches('=').to_owned(), pair[1].to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# head\nFROM rust AS build\nWORKDIR /src\nCOPY . .\nRUN --mount=type=cache,target=/x \\\n    A=\"b c\" \
        cargo build \\\n    && install x /out\n\nFROM scratch\nCOPY --from=build /out/a /out/b /\nLABEL k=\"v w\" \\\n  l=\"z\"\nUSER 1:2\n";

    #[test]
    fn stages_are_read() {
        let file = Dockerfile::parse(FILE).unwrap();
        assert_eq!(file.run, "A=\"b c\" cargo build && install x /out");
        assert_eq!((file.base.as_str(), file.user.as_str()), ("scratch", "1:2"));
        assert_eq!(file.copied, ["/out/b", "/out/a"]);
        assert_eq!(file.labels, [("k".into(), "v w".into()), ("l".into(), "z".into())]);
        assert!(Dockerfile::parse(&FILE.replace("USER", "EXPOSE")).is_err());
    }

    #[test]
    fn another_user_and_another_label_are_told() {
        let faults = Dockerfile::parse(FILE).unwrap().differs().join("; ");
        assert!(faults.contains("user is \"1:2\"") && faults.contains("labels are {\"k\""), "{faults}");
    }
}
