//! Secret references of a StorageClass: read, checked and written on the volume.
//!
//! No operation of this driver takes a secret, so none is ever fetched; the references are kept for kubelet and for
//! whoever runs the upstream sidecars against our socket.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::SecretReference;

use crate::kubernetes::api::names::RESERVED_PREFIX;
use crate::kubernetes::api::objects::Claim;

/// Why the class's secrets cannot be resolved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SecretError {
    /// One key of a pair stands alone.
    #[error("StorageClass parameters \"{name}\" and \"{namespace}\" must be given together")]
    Pair {
        /// Key of the name.
        name: String,
        /// Key of the namespace.
        namespace: String,
    },
    /// The same secret under its old and its new key.
    #[error("StorageClass parameter \"{new}\" is also given under its old name \"{old}\"; keep one")]
    Twice {
        /// Today's key.
        new: String,
        /// The key of old.
        old: &'static str,
    },
    /// A `${…}` that does not exist here.
    #[error("StorageClass parameter \"{key}\": ${{{token}}} in \"{template}\" cannot be resolved; known are {known}")]
    Token {
        /// Whose template.
        key: String,
        /// The text.
        template: String,
        /// The token.
        token: String,
        /// Tokens that exist for this key.
        known: &'static str,
    },
    /// The result is no name that Kubernetes accepts.
    #[error("StorageClass parameter \"{key}\": \"{value}\" is not a valid {what}")]
    Name {
        /// Whose value.
        key: String,
        /// The value.
        value: String,
        /// What it should be.
        what: &'static str,
    },
}

const NAMESPACE_TOKENS: &str = "${pv.name} and ${pvc.namespace}";
const NAME_TOKENS: &str = "${pv.name}, ${pvc.namespace}, ${pvc.name} and ${pvc.annotations['KEY']}";

/// One kind of secret: its keys under the reserved prefix, and under their old names.
struct Kind {
    stem: &'static str,
    old: Option<(&'static str, &'static str)>,
}

const DEFAULT: Kind = Kind { stem: "secret", old: None };
const PROVISIONER: Kind =
    Kind { stem: "provisioner-secret", old: Some(("csiProvisionerSecretName", "csiProvisionerSecretNamespace")) };
const CONTROLLER_PUBLISH: Kind = Kind {
    stem: "controller-publish-secret",
    old: Some(("csiControllerPublishSecretName", "csiControllerPublishSecretNamespace")),
};
const NODE_STAGE: Kind =
    Kind { stem: "node-stage-secret", old: Some(("csiNodeStageSecretName", "csiNodeStageSecretNamespace")) };
const NODE_PUBLISH: Kind =
    Kind { stem: "node-publish-secret", old: Some(("csiNodePublishSecretName", "csiNodePublishSecretNamespace")) };
const CONTROLLER_EXPAND: Kind = Kind { stem: "controller-expand-secret", old: None };
const NODE_EXPAND: Kind = Kind { stem: "node-expand-secret", old: None };
const CONTROLLER_MODIFY: Kind = Kind { stem: "controller-modify-secret", old: None };

const ALL: [&Kind; 8] = [
    &DEFAULT,
    &PROVISIONER,
    &CONTROLLER_PUBLISH,
    &NODE_STAGE,
    &NODE_PUBLISH,
    &CONTROLLER_EXPAND,
    &NODE_EXPAND,
    &CONTROLLER_MODIFY,
];

impl Kind {
    fn name_key(&self) -> String {
        format!("{RESERVED_PREFIX}{}-name", self.stem)
    }

    fn namespace_key(&self) -> String {
        format!("{RESERVED_PREFIX}{}-namespace", self.stem)
    }
}

/// Every secret that a volume refers to.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Secrets {
    pub(crate) provisioner: Option<SecretReference>,
    pub(crate) controller_publish: Option<SecretReference>,
    pub(crate) node_stage: Option<SecretReference>,
    pub(crate) node_publish: Option<SecretReference>,
    pub(crate) controller_expand: Option<SecretReference>,
    pub(crate) node_expand: Option<SecretReference>,
    pub(crate) controller_modify: Option<SecretReference>,
}

/// Whether `key` is a class parameter that names a secret, by its new or its old name.
pub(crate) fn is_secret_key(key: &str) -> bool {
    match key.strip_prefix(RESERVED_PREFIX) {
        Some(rest) => ALL
            .iter()
            .any(|kind| rest.strip_prefix(kind.stem).is_some_and(|suffix| suffix == "-name" || suffix == "-namespace")),
        None => is_old_key(key),
    }
}

/// Whether `key` is a secret's key of old.
pub(crate) fn is_old_key(key: &str) -> bool {
    ALL.iter().filter_map(|kind| kind.old).any(|(name, namespace)| key == name || key == namespace)
}

/// Resolves the secrets that `parameters` of a class name, for `claim` and its volume `pv_name`.
pub(crate) fn resolve(
    parameters: &BTreeMap<String, String>,
    claim: &Claim,
    pv_name: &str,
) -> Result<Secrets, SecretError> {
    let of = |kind: &Kind| -> Result<Option<SecretReference>, SecretError> {
        let Some(templates) = templates(parameters, kind)? else { return Ok(None) };
        reference(&templates, claim, pv_name).map(Some)
    };
    Ok(Secrets {
        provisioner: of(&PROVISIONER)?,
        controller_publish: of(&CONTROLLER_PUBLISH)?,
        node_stage: of(&NODE_STAGE)?,
        node_publish: of(&NODE_PUBLISH)?,
        controller_expand: of(&CONTROLLER_EXPAND)?,
        node_expand: of(&NODE_EXPAND)?,
        controller_modify: of(&CONTROLLER_MODIFY)?,
    })
}

/// The two templates of one secret, and the keys they were found under.
struct Templates<'p> {
    name_key: String,
    name: &'p str,
    namespace_key: String,
    namespace: &'p str,
}

/// Finds the templates of `kind`: under its own keys, its old keys, or those that stand for all kinds.
fn templates<'p>(parameters: &'p BTreeMap<String, String>, kind: &Kind) -> Result<Option<Templates<'p>>, SecretError> {
    let own = pair(parameters, kind.name_key(), kind.namespace_key())?;
    let old = match kind.old {
        Some((name, namespace)) => pair(parameters, name.to_owned(), namespace.to_owned())?,
        None => None,
    };
    match (own, old, kind.old) {
        (Some(own), Some(_), Some((old, _))) => Err(SecretError::Twice { new: own.name_key, old }),
        (Some(found), ..) | (None, Some(found), _) => Ok(Some(found)),
        (None, None, _) => pair(parameters, DEFAULT.name_key(), DEFAULT.namespace_key()),
    }
}

fn pair(
    parameters: &BTreeMap<String, String>,
    name_key: String,
    namespace_key: String,
) -> Result<Option<Templates<'_>>, SecretError> {
    match (parameters.get(&name_key), parameters.get(&namespace_key)) {
        (None, None) => Ok(None),
        (Some(name), Some(namespace)) => Ok(Some(Templates { name_key, name, namespace_key, namespace })),
        _ => Err(SecretError::Pair { name: name_key, namespace: namespace_key }),
    }
}

fn reference(templates: &Templates<'_>, claim: &Claim, pv_name: &str) -> Result<SecretReference, SecretError> {
    // A person who writes claims chooses their names and annotations, and must not choose a namespace by them.
    let namespace = expand(&templates.namespace_key, templates.namespace, NAMESPACE_TOKENS, |token| match token {
        "pv.name" => Some(pv_name),
        "pvc.namespace" => Some(claim.namespace()),
        _ => None,
    })?;
    let name = expand(&templates.name_key, templates.name, NAME_TOKENS, |token| match token {
        "pv.name" => Some(pv_name),
        "pvc.namespace" => Some(claim.namespace()),
        "pvc.name" => Some(claim.name()),
        _ => claim.annotation(token.strip_prefix("pvc.annotations['")?.strip_suffix("']")?),
    })?;
    if !is_dns_label(&namespace) {
        let key = templates.namespace_key.clone();
        return Err(SecretError::Name { key, value: namespace, what: "namespace name" });
    }
    if !is_dns_subdomain(&name) {
        return Err(SecretError::Name { key: templates.name_key.clone(), value: name, what: "secret name" });
    }
    Ok(SecretReference { name: Some(name), namespace: Some(namespace) })
}

/// Replaces each `${token}` of `template`.
fn expand<'v>(
    key: &str,
    template: &str,
    known: &'static str,
    value: impl Fn(&str) -> Option<&'v str>,
) -> Result<String, SecretError> {
    let mut result = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(start) = rest.find("${") {
        let (before, from) = rest.split_at(start);
        result.push_str(before);
        let token = from[2..].split('}').next().unwrap_or_default();
        let resolved = value(token).filter(|_| from.len() > token.len() + 2).ok_or_else(|| SecretError::Token {
            key: key.to_owned(),
            template: template.to_owned(),
            token: token.to_owned(),
            known,
        })?;
        result.push_str(resolved);
        rest = &from[token.len() + 3..];
    }
    result.push_str(rest);
    Ok(result)
}

fn is_dns_label(text: &str) -> bool {
    text.len() <= 63 && is_label(text)
}

fn is_dns_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label)
}

/// Letters in lower case, digits and inner dashes; not empty.
fn is_label(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claim() -> Claim {
        serde_json::from_value(json!({"metadata": {
            "name": "data", "namespace": "shop", "uid": "u", "annotations": {"team": "blue", "a.b/c": "x"}
        }}))
        .unwrap()
    }

    fn resolved(parameters: &[(&str, &str)]) -> Result<Secrets, SecretError> {
        let map = parameters.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        resolve(&map, &claim(), "pvc-u")
    }

    fn secret(namespace: &str, name: &str) -> SecretReference {
        SecretReference { name: Some(name.into()), namespace: Some(namespace.into()) }
    }

    #[test]
    fn no_keys_mean_no_secrets() {
        assert_eq!(resolved(&[("server", "nfs")]), Ok(Secrets::default()));
    }

    #[test]
    fn each_kind_has_its_own_pair_of_keys() {
        for (stem, pick) in [
            ("provisioner", (|s| s.provisioner) as fn(Secrets) -> Option<SecretReference>),
            ("controller-publish", |s| s.controller_publish),
            ("node-stage", |s| s.node_stage),
            ("node-publish", |s| s.node_publish),
            ("controller-expand", |s| s.controller_expand),
            ("node-expand", |s| s.node_expand),
            ("controller-modify", |s| s.controller_modify),
        ] {
            let name = format!("csi.storage.k8s.io/{stem}-secret-name");
            let namespace = format!("csi.storage.k8s.io/{stem}-secret-namespace");
            let secrets = resolved(&[(&name, "s"), (&namespace, "ns")]).unwrap();
            assert_eq!(pick(secrets), Some(secret("ns", "s")), "{stem}");
            assert!(is_secret_key(&name) && is_secret_key(&namespace));
        }
        assert!(!is_secret_key("csi.storage.k8s.io/secret-names"));
        assert!(!is_secret_key("server"));
    }

    #[test]
    fn the_general_pair_stands_for_every_kind_without_its_own() {
        let secrets = resolved(&[
            ("csi.storage.k8s.io/secret-name", "all"),
            ("csi.storage.k8s.io/secret-namespace", "ns"),
            ("csi.storage.k8s.io/node-publish-secret-name", "own"),
            ("csi.storage.k8s.io/node-publish-secret-namespace", "ns"),
        ])
        .unwrap();
        assert_eq!(secrets.provisioner, Some(secret("ns", "all")));
        assert_eq!(secrets.node_publish, Some(secret("ns", "own")));
    }

    #[test]
    fn one_key_of_a_pair_alone_is_an_error() {
        let error = resolved(&[("csi.storage.k8s.io/node-stage-secret-name", "s")]).unwrap_err();
        assert!(matches!(error, SecretError::Pair { .. }), "{error}");
    }

    #[test]
    fn the_old_keys_still_work_but_not_beside_the_new_ones() {
        let old = [("csiProvisionerSecretName", "s"), ("csiProvisionerSecretNamespace", "ns")];
        assert_eq!(resolved(&old).unwrap().provisioner, Some(secret("ns", "s")));
        assert!(is_secret_key("csiNodePublishSecretName"));
        let both = [
            old[0],
            old[1],
            ("csi.storage.k8s.io/provisioner-secret-name", "s"),
            ("csi.storage.k8s.io/provisioner-secret-namespace", "ns"),
        ];
        assert!(matches!(resolved(&both).unwrap_err(), SecretError::Twice { .. }));
    }

    #[test]
    fn templates_know_the_claim_in_names_and_only_its_namespace_in_namespaces() {
        let name = "csi.storage.k8s.io/secret-name";
        let namespace = "csi.storage.k8s.io/secret-namespace";
        let both = |n: &str, ns: &str| resolved(&[(name, n), (namespace, ns)]).map(|secrets| secrets.provisioner);
        assert_eq!(both("${pvc.name}-${pv.name}", "${pvc.namespace}").unwrap(), Some(secret("shop", "data-pvc-u")));
        assert_eq!(
            both("${pvc.annotations['team']}.${pvc.annotations['a.b/c']}", "x").unwrap(),
            Some(secret("x", "blue.x"))
        );
        for (bad_name, bad_namespace) in [
            ("s", "${pvc.name}"),
            ("s", "${pvc.annotations['team']}"),
            ("${pvc.annotations['none']}", "ns"),
            ("${pvc.uid}", "ns"),
            ("${pvc.name", "ns"),
        ] {
            let error = both(bad_name, bad_namespace).unwrap_err();
            assert!(matches!(error, SecretError::Token { .. }), "{bad_name} {bad_namespace}: {error}");
        }
    }

    #[test]
    fn a_result_that_is_no_dns_name_is_an_error() {
        let name = "csi.storage.k8s.io/secret-name";
        let namespace = "csi.storage.k8s.io/secret-namespace";
        for (bad_name, bad_namespace) in
            [("", "ns"), ("s", ""), ("S", "ns"), ("a..b", "ns"), ("s", "a.b"), ("s", "-a"), ("$x", "ns")]
        {
            let error = resolved(&[(name, bad_name), (namespace, bad_namespace)]).unwrap_err();
            assert!(matches!(error, SecretError::Name { .. }), "{bad_name} {bad_namespace}: {error}");
        }
    }
}
