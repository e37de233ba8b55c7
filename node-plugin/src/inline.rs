//! Volumes that a pod defines by itself (CSI ephemeral inline volumes), and which of them are admitted.
//!
//! Who may write a pod may write such a volume, so what a `PersistentVolume` is for, that an administrator says what may be mounted, does not hold for it. Here
//! a list of the administrator's does: nothing that is not on it is mounted.

use std::collections::BTreeMap;
use std::str::FromStr;

use serde::Deserialize;
use volume::mount_options::{self, MountOptionError};
use volume::names::{layout, metadata};
use volume::path::PathError;
use volume::server::{DEFAULT_PORT, ServerError};
use volume::{MountOptions, Server, SharePath, SubPath, VolumeContext};

/// What kubelet calls such a volume: this, and the hexadecimal digits of a SHA-256.
const HANDLE_PREFIX: &str = "csi-";
const HANDLE_DIGITS: usize = 64;

/// Options that every pod may use: they take something from it, and nothing else.
const RESTRICTIONS: [&str; 4] = ["ro", "noexec", "nosuid", "nodev"];

/// What pods may mount by themselves; empty: nothing.
#[derive(Debug, Clone, Default)]
pub struct InlineVolumes(Vec<Admitted>);

/// One share, and what may be mounted from it.
#[derive(Debug, Clone)]
struct Admitted {
    server: Server,
    share: SharePath,
    /// Names, for any value; or a name with a value.
    options: Vec<String>,
    /// In force whatever the pod writes, separated by commas.
    required: String,
}

/// A line of the list as it is written.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Line {
    server: String,
    share: String,
    #[serde(default)]
    mount_options: Vec<String>,
    #[serde(default)]
    required_options: Vec<String>,
}

/// Why a list cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// Not a list of such lines.
    #[error(
        "it is no JSON list of {{\"server\": …, \"share\": …, \"mountOptions\": […], \"requiredOptions\": […]}}: {0}"
    )]
    Json(#[from] serde_json::Error),
    /// No server.
    #[error("\"server\" of line {line}: {source}")]
    Server {
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        #[source]
        source: ServerError,
    },
    /// No share.
    #[error("\"share\" of line {line}: {source}")]
    Share {
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        #[source]
        source: PathError,
    },
    /// No mount option.
    #[error("{key:?} of line {line}: {source}")]
    Option {
        /// Which line, from 1.
        line: usize,
        /// `mountOptions` or `requiredOptions`.
        key: &'static str,
        /// What is wrong with it.
        #[source]
        source: MountOptionError,
    },
}

/// Why a volume of a pod's own is not mounted.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Server and share are not on the list.
    #[error(
        "a pod may not define the volume {0} by itself: the chart's value node.inlineVolumes (--inline-volumes) does not list that server and share; add them \
         there, or use a PersistentVolume"
    )]
    NotListed(String),
    /// They are, without one of the options.
    #[error(
        "a pod that defines the volume {location} by itself may not use the mount option {option:?}: the chart's value node.inlineVolumes (--inline-volumes) lists \
         that share without it; add it there, or leave it out"
    )]
    Option {
        /// Which volume.
        location: String,
        /// The option as it is written.
        option: String,
    },
    /// A place that no pod may see.
    #[error("a pod may not define the volume {0} by itself: the driver keeps its own records there")]
    Reserved(String),
    /// Share and directory together are no path.
    #[error("the volume {location} cannot be used")]
    Path {
        /// Which volume.
        location: String,
        /// What is wrong with it.
        #[source]
        source: PathError,
    },
}

/// Whether a pod defines the volume by itself.
///
/// kubelet says so where the `CSIDriver` has `podInfoOnMount: true`, and then over whatever the pod says. Where somebody has taken that away, the name tells
/// that kubelet gives to such volumes and to no other.
pub(crate) fn is_inline(volume: &str, attributes: &BTreeMap<String, String>) -> bool {
    let digits = volume.strip_prefix(HANDLE_PREFIX).unwrap_or_default();
    let is_named_so =
        digits.len() == HANDLE_DIGITS && digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    is_named_so || attributes.get(metadata::EPHEMERAL).is_some_and(|value| value == "true")
}

impl InlineVolumes {
    /// Admits a volume, or says why not. What comes back leads to the same directory, with all that follows the admitted share as the directory below it:
    /// symbolic links are not followed there, for they may be a pod's and lead off the share.
    pub(crate) fn admit(&self, context: VolumeContext) -> Result<VolumeContext, Refusal> {
        let location = || {
            let path =
                context.sub_dir.as_ref().map_or_else(|| context.share.to_string(), |below| context.share.join(below));
            format!("{}:{path}", context.server)
        };
        let mut refusal = None;
        for admitted in self.0.iter().filter(|admitted| admitted.server == context.server) {
            let Some(rest) = below(context.share.components(), &admitted.share) else { continue };
            if let Some(option) = admitted.lacks(&context.terms.mount_options) {
                refusal.get_or_insert_with(|| Refusal::Option { location: location(), option: option.to_owned() });
                continue;
            }
            let below = context.sub_dir.as_ref().map_or(rest.clone(), |sub_dir| format!("{rest}/{sub_dir}"));
            // Servers that ignore case have one directory under every spelling.
            if below.split('/').any(|component| component.eq_ignore_ascii_case(layout::ROOT)) {
                return Err(Refusal::Reserved(location()));
            }
            let below = Some(below).filter(|below| !below.is_empty()).map(|below| below.parse::<SubPath>());
            let sub_dir = below.transpose().map_err(|source| Refusal::Path { location: location(), source })?;
            let required = self.required(&context);
            let mut terms = context.terms;
            // Of two that contradict each other the later one counts.
            terms.mount_options = format!("{},{required}", terms.mount_options);
            return Ok(VolumeContext { share: admitted.share.clone(), sub_dir, terms, ..context });
        }
        Err(refusal.unwrap_or_else(|| Refusal::NotListed(location())))
    }

    /// What all lines require that contain a volume, whichever of them admits it. The line of the deepest share comes last, and of those for one share the first.
    fn required(&self, context: &VolumeContext) -> String {
        let sub_dir = context.sub_dir.iter().flat_map(SubPath::components);
        let path = context.share.components().chain(sub_dir);
        let contains = |line: &&Admitted| line.server == context.server && below(path.clone(), &line.share).is_some();
        let mut lines: Vec<_> = self.0.iter().rev().filter(contains).collect();
        lines.sort_by_key(|line| line.share.components().count());
        lines.iter().map(|line| line.required.as_str()).collect::<Vec<_>>().join(",")
    }
}

impl Admitted {
    fn read(line: usize, Line { server, share, mount_options, required_options }: Line) -> Result<Self, ListError> {
        let server: Server = server.parse().map_err(|source| ListError::Server { line, source })?;
        let share = share.parse().map_err(|source| ListError::Share { line, source })?;
        let legal = |key, option: &str| {
            let parsed = MountOptions::parse(&[option], server.port());
            parsed.map(drop).map_err(|source| ListError::Option { line, key, source })
        };
        let options: Vec<String> =
            mount_options.iter().flat_map(|options| mount_options::items(options)).map(str::to_owned).collect();
        for option in options.iter().filter(|option| option.contains('=') || !MountOptions::is_known(option)) {
            legal("mountOptions", option)?;
        }
        let required = required_options.join(",");
        legal("requiredOptions", &required)?;
        Ok(Self { server, share, options, required })
    }

    /// The first of some options that may not be used here.
    fn lacks<'a>(&self, options: &'a str) -> Option<&'a str> {
        let is_listed = |option: &str| {
            let name = option.split_once('=').map_or(option, |(name, _)| name);
            let listed = |listed: &String| same(listed, option) || same(listed, name);
            RESTRICTIONS.contains(&option) || self.options.iter().any(listed)
        };
        mount_options::items(options).find(|option| !is_listed(option))
    }
}

/// Whether two options are one: a name may have two spellings, and a value too.
fn same(one: &str, other: &str) -> bool {
    let name = |option: &str| match option.split_once('=').map_or(option, |(name, _)| name) {
        "nfsvers" => "vers".to_owned(),
        name => name.to_owned(),
    };
    let meaning = |option: &str| MountOptions::parse(&[option], DEFAULT_PORT).ok();
    one == other
        || name(one) == name(other) && one.contains('=') == other.contains('=') && {
            let meaning = meaning(one).zip(meaning(other));
            meaning.map_or(!one.contains('='), |(one, other)| one == other)
        }
}

/// What of a path follows a share that it is, or lies in.
fn below<'a>(mut path: impl Iterator<Item = &'a str>, share: &SharePath) -> Option<String> {
    share.components().all(|component| path.next() == Some(component)).then(|| path.collect::<Vec<_>>().join("/"))
}

impl FromStr for InlineVolumes {
    type Err = ListError;

    /// Reads a list of JSON; see `docs/node-plugin.md`.
    fn from_str(text: &str) -> Result<Self, ListError> {
        let lines: Vec<Line> = serde_json::from_str(text)?;
        let admitted = lines.into_iter().enumerate().map(|(index, line)| Admitted::read(index + 1, line));
        Ok(Self(admitted.collect::<Result<_, _>>()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = r#"[
        {"server": "nfs.example.com", "share": "/exports/public", "mountOptions": ["nfsvers=4.1", "nconnect"]},
        {"server": "nfs.example.com:20049", "share": "/"}
    ]"#;

    fn context(server: &str, share: &str, sub_dir: &str, options: &str) -> VolumeContext {
        let attributes = [("server", server), ("share", share), ("subDir", sub_dir), ("mountOptions", options)];
        VolumeContext::from_map(attributes).unwrap().0
    }

    fn admit(server: &str, share: &str, sub_dir: &str, options: &str) -> Result<(String, Option<String>), String> {
        let list: InlineVolumes = LIST.parse().unwrap();
        let admitted = list.admit(context(server, share, sub_dir, options)).map_err(|error| error.to_string())?;
        Ok((admitted.share.to_string(), admitted.sub_dir.map(|below| below.to_string())))
    }

    #[test]
    fn what_lies_in_a_listed_share_is_admitted_as_a_directory_of_it() {
        for (server, share, sub_dir, below) in [
            ("nfs.example.com", "/exports/public", "", None),
            ("NFS.example.com:2049", "/exports//public/", "/", None),
            ("nfs.example.com", "/exports/public", "a", Some("a")),
            ("nfs.example.com", "/exports/public/a", "b/c", Some("a/b/c")),
        ] {
            let admitted = admit(server, share, sub_dir, "").unwrap();
            assert_eq!(admitted, ("/exports/public".to_owned(), below.map(str::to_owned)), "{share} {sub_dir}");
        }
        assert_eq!(admit("nfs.example.com:20049", "/any", "", "").unwrap(), ("/".to_owned(), Some("any".to_owned())));
    }

    #[test]
    fn what_does_not_is_refused_in_words() {
        for (server, share, sub_dir) in [
            ("nfs.example.com", "/exports", ""),
            ("nfs.example.com", "/exports", "public"),
            ("nfs.example.com", "/exports/public2", ""),
            ("nfs.example.com", "/exports/Public", ""),
            ("nfs.example.com", "/", ""),
            ("nfs.example.com:2050", "/exports/public", ""),
            ("nfs", "/exports/public", ""),
        ] {
            let error = admit(server, share, sub_dir, "").unwrap_err();
            assert!(error.contains("node.inlineVolumes") && error.contains(share), "{error}");
        }
        let none = InlineVolumes::default().admit(context("nfs.example.com", "/exports/public", "", ""));
        assert!(none.unwrap_err().to_string().contains("nfs.example.com:/exports/public"));
        for escape in ["../x", "a/../..", "."] {
            let attributes = [("server", "nfs.example.com"), ("share", "/exports/public"), ("subDir", escape)];
            assert!(VolumeContext::from_map(attributes).is_err(), "{escape}");
        }
    }

    #[test]
    fn what_a_line_requires_is_in_force_whatever_the_pod_writes() {
        let list = r#"[{"server": "nfs", "share": "/a", "mountOptions": ["sec"], "requiredOptions": ["ro", "sec=krb5p,nosuid"]}]"#;
        let list: InlineVolumes = list.parse().unwrap();
        for written in ["", "sec=sys", "ro"] {
            let admitted = list.admit(context("nfs", "/a", "", written)).unwrap();
            let options = admitted.terms.options::<&str>(&[], 2049).unwrap();
            assert!(options.attributes().read_only && options.attributes().nosuid, "{written}");
            assert!(options.superblock().contains(&("sec".to_owned(), Some("krb5p".to_owned()))), "{written}");
        }
    }

    #[test]
    fn what_any_line_requires_that_contains_the_volume_is_in_force_whichever_admits_it() {
        let list = r#"[
            {"server": "nfs", "share": "/a/b", "requiredOptions": ["ro", "sec=krb5p"]},
            {"server": "nfs", "share": "/a/b", "mountOptions": ["nconnect"], "requiredOptions": ["sec=krb5i"]},
            {"server": "nfs", "share": "/a", "mountOptions": ["nconnect", "soft"], "requiredOptions": ["sec=sys"]},
            {"server": "nfs", "share": "/a/b/c", "requiredOptions": ["noexec"]},
            {"server": "other", "share": "/a", "requiredOptions": ["nosuid"]}
        ]"#;
        let list: InlineVolumes = list.parse().unwrap();
        for (share, sub_dir, written, admitting) in [
            ("/a/b", "", "", "/a/b"),
            ("/a/b", "", "nconnect=2", "/a/b"),
            ("/a/b", "d", "nconnect=2,soft", "/a"),
            ("/a", "b", "soft", "/a"),
            ("/a", "b/d", "", "/a"),
        ] {
            let admitted = list.admit(context("nfs", share, sub_dir, written)).unwrap();
            assert_eq!(admitted.share.as_str(), admitting);
            let options = admitted.terms.options::<&str>(&[], 2049).unwrap();
            let attributes = options.attributes();
            assert!(attributes.read_only && !attributes.noexec && !attributes.nosuid, "{share} {sub_dir} {written}");
            let is_protected = options.superblock().contains(&("sec".to_owned(), Some("krb5p".to_owned())));
            assert!(is_protected, "the deepest share's, and the first: {share} {sub_dir} {written}");
        }
        let above = list.admit(context("nfs", "/a", "", "")).unwrap().terms.options::<&str>(&[], 2049).unwrap();
        assert!(!above.attributes().read_only);
    }

    #[test]
    fn the_drivers_own_folder_cannot_be_named() {
        for (share, sub_dir) in [("/exports/public/.berth", ""), ("/exports/public/.Berth", "trash")] {
            let error = admit("nfs.example.com", share, sub_dir, "").unwrap_err();
            assert!(error.contains("its own records"), "{error}");
        }
        let attributes = [("server", "nfs.example.com"), ("share", "/exports/public"), ("subDir", ".berth/records")];
        assert!(VolumeContext::from_map(attributes).is_err());
        let nested = admit("nfs.example.com", "/exports/public", "a/.berth", "").unwrap_err();
        assert!(nested.contains("its own records"), "{nested}");
    }

    #[test]
    fn options_are_admitted_by_name_or_with_their_value() {
        let with = |options: &str| admit("nfs.example.com", "/exports/public", "", options);
        for options in ["", "ro", "vers=4,nconnect=2", "vers=4.1, nconnect=16", "nosuid,nodev,noexec,nfsvers=4.1"] {
            assert!(with(options).is_ok(), "{options}");
        }
        for (options, named) in [
            ("context=\"a:b:c:s0:c1,ro\"", "context"),
            ("ro,vers=4.2", "\"vers=4.2\""),
            ("soft", "\"soft\""),
            ("sec=none", "\"sec=none\""),
        ] {
            let error = with(options).unwrap_err();
            assert!(error.contains(named) && error.contains("node.inlineVolumes"), "{error}");
        }
        assert!(admit("nfs.example.com:20049", "/", "", "nconnect=2").is_err(), "each line has its own");
    }

    #[test]
    fn a_list_that_cannot_be_meant_is_an_error() {
        for (list, named) in [
            ("", "JSON"),
            ("{}", "JSON"),
            (r#"[{"share": "/a"}]"#, "server"),
            (r#"[{"server": "nfs", "share": "/a", "readonly": true}]"#, "readonly"),
            (r#"[{"server": "nfs:/a", "share": "/a"}]"#, "\"server\" of line 1"),
            (r#"[{"server": "nfs", "share": "/a"}, {"server": "nfs", "share": "a"}]"#, "\"share\" of line 2"),
            (r#"[{"server": "nfs", "share": "/a/../b"}]"#, "\"share\" of line 1"),
            (r#"[{"server": "nfs", "share": "/a", "mountOptions": ["nfsvers=3"]}]"#, "\"mountOptions\" of line 1"),
            (r#"[{"server": "nfs", "share": "/a", "mountOptions": ["nconect"]}]"#, "did you mean \"nconnect\""),
            (r#"[{"server": "nfs", "share": "/a", "mountOptions": ["soft,nconect"]}]"#, "did you mean \"nconnect\""),
            (r#"[{"server": "nfs", "share": "/a", "requiredOptions": ["sec"]}]"#, "\"requiredOptions\" of line 1"),
        ] {
            let error = list.parse::<InlineVolumes>().unwrap_err().to_string();
            assert!(error.contains(named), "{list}: {error}");
        }
        assert!("[]".parse::<InlineVolumes>().unwrap().0.is_empty());
    }

    #[test]
    fn kubelet_tells_or_its_name_does() {
        let told = |value: &str| BTreeMap::from([(metadata::EPHEMERAL.to_owned(), value.to_owned())]);
        let handle = format!("csi-{}", "0123456789abcdef".repeat(4));
        assert!(is_inline("anything", &told("true")));
        assert!(is_inline(&handle, &BTreeMap::new()));
        assert!(is_inline(&handle, &told("false")), "a pod may write anything where kubelet writes nothing");
        for handle in ["archive", "csi-0123", &handle[..67], &handle.to_uppercase(), &handle.replace('f', "g")] {
            assert!(!is_inline(handle, &told("false")) && !is_inline(handle, &BTreeMap::new()), "{handle}");
        }
    }
}
