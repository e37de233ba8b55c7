//! Templates for the directory of a volume.

use std::{collections::BTreeMap, fmt, str::FromStr};

use thiserror::Error;

use crate::{
    names::{metadata, variable},
    nearest::nearest,
    path::{self, PathError, SubPath},
    quote::Quoted,
};

/// For whom a volume is made, as far as the provisioner said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Name of the claim.
    pub pvc_name: Option<String>,
    /// Namespace of the claim.
    pub pvc_namespace: Option<String>,
    /// Name of the volume object.
    pub pv_name: Option<String>,
}

impl Metadata {
    /// Reads the keys of [`names::metadata`](crate::names::metadata) and leaves the others alone.
    pub fn from_parameters(parameters: &BTreeMap<String, String>) -> Self {
        let get = |key| parameters.get(key).cloned();
        Self {
            pvc_name: get(metadata::PVC_NAME),
            pvc_namespace: get(metadata::PVC_NAMESPACE),
            pv_name: get(metadata::PV_NAME),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variable {
    PvcName,
    PvcNamespace,
    PvName,
}

impl Variable {
    fn read(name: &str) -> Option<Self> {
        match name {
            variable::PVC_NAME => Some(Self::PvcName),
            variable::PVC_NAMESPACE => Some(Self::PvcNamespace),
            variable::PV_NAME => Some(Self::PvName),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::PvcName => variable::PVC_NAME,
            Self::PvcNamespace => variable::PVC_NAMESPACE,
            Self::PvName => variable::PV_NAME,
        }
    }

    fn value(self, metadata: &Metadata) -> Option<&str> {
        match self {
            Self::PvcName => metadata.pvc_name.as_deref(),
            Self::PvcNamespace => metadata.pvc_namespace.as_deref(),
            Self::PvName => metadata.pv_name.as_deref(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Variable(Variable),
}

/// Why a template cannot be read or filled in.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// `${…}` with a name that is not known.
    #[error(
        "{} is not known{}; known are ${{{}}}",
        Quoted(&format!("${{{name}}}")),
        .nearest.map(|near| format!(", did you mean ${{{near}}}?")).unwrap_or_default(),
        variable::ALL.join("}, ${")
    )]
    UnknownVariable {
        /// What stands between the braces.
        name: String,
        /// What was probably meant.
        nearest: Option<&'static str>,
    },
    /// `${` without `}`.
    #[error("{} has a \"${{\" that is not closed by \"}}\"", Quoted(.0))]
    Unclosed(String),
    /// What stands there, filled in or not, is no path below a share.
    #[error("the path is not usable")]
    Path(#[source] PathError),
    /// The provisioner did not send what a variable stands for.
    #[error(
        "${{{0}}} has no value, because the provisioner did not say for which claim the volume is made; an upstream \
         external-provisioner needs --extra-create-metadata"
    )]
    NoValue(&'static str),
    /// A value that is not one component of a path.
    #[error("the value {} of ${{{variable}}} is not a single path component (it is empty, \".\", \"..\", or holds \"/\" or a control character)", Quoted(.value))]
    Value {
        /// The variable.
        variable: &'static str,
        /// Its value.
        value: String,
    },
}

/// The parameter `subDir`: a path below the share in which `${pvc.metadata.name}`, `${pvc.metadata.namespace}` and
/// `${pv.metadata.name}` stand for what the volume is made for.
///
/// Guarantee: whatever the values are, [`render`](Self::render) gives a path with exactly the components that the
/// template shows, or an error. A value cannot add a component, remove one, or leave the share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    components: Vec<Vec<Piece>>,
}

impl Template {
    /// Fills in the values.
    pub fn render(&self, metadata: &Metadata) -> Result<SubPath, TemplateError> {
        let mut path = String::new();
        for (index, component) in self.components.iter().enumerate() {
            if index > 0 {
                path.push('/');
            }
            for piece in component {
                path.push_str(match piece {
                    Piece::Literal(text) => text,
                    Piece::Variable(variable) => single_component(*variable, metadata)?,
                });
            }
        }
        path.parse().map_err(TemplateError::Path)
    }
}

impl FromStr for Template {
    type Err = TemplateError;

    /// Reads a template. Slashes that change nothing (doubled, at the beginning or at the end) are dropped.
    fn from_str(text: &str) -> Result<Self, TemplateError> {
        let mut components = read_components(text)?;
        components.retain(|component| !component.is_empty());
        if components.is_empty() {
            return Err(TemplateError::Path(PathError::Empty));
        }
        for (index, component) in components.iter().enumerate() {
            check_literal(text, index, component)?;
        }
        Ok(Self { components })
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, component) in self.components.iter().enumerate() {
            f.write_str(if index > 0 { "/" } else { "" })?;
            for piece in component {
                match piece {
                    Piece::Literal(text) => f.write_str(text)?,
                    Piece::Variable(variable) => write!(f, "${{{}}}", variable.name())?,
                }
            }
        }
        Ok(())
    }
}

/// Splits at `${…}` first and at `/` second, so that the components are fixed before any value is known.
fn read_components(text: &str) -> Result<Vec<Vec<Piece>>, TemplateError> {
    let mut components = vec![Vec::new()];
    let mut rest = text;
    loop {
        let (literal, variable) = match rest.split_once("${") {
            None => (rest, None),
            Some((literal, after)) => {
                let (name, after) = after.split_once('}').ok_or_else(|| TemplateError::Unclosed(text.to_owned()))?;
                (literal, Some((name, after)))
            }
        };
        for (index, part) in literal.split('/').enumerate() {
            if index > 0 {
                components.push(Vec::new());
            }
            if let Some(component) = components.last_mut().filter(|_| !part.is_empty()) {
                component.push(Piece::Literal(part.to_owned()));
            }
        }
        let Some((name, after)) = variable else { return Ok(components) };
        let variable = Variable::read(name).ok_or_else(|| TemplateError::UnknownVariable {
            name: name.to_owned(),
            nearest: nearest(name, &variable::ALL),
        })?;
        if let Some(component) = components.last_mut() {
            component.push(Piece::Variable(variable));
        }
        rest = after;
    }
}

/// Finds at once what no value could mend: a wrong class should fail for every claim, not for some.
fn check_literal(text: &str, index: usize, component: &[Piece]) -> Result<(), TemplateError> {
    let check = |literal: &str| path::check_component(text, literal).map_err(TemplateError::Path);
    match component {
        [Piece::Literal(first)] if index == 0 && path::is_reserved(first) => {
            Err(TemplateError::Path(PathError::Reserved(text.to_owned())))
        }
        [Piece::Literal(whole)] => check(whole),
        pieces => pieces
            .iter()
            .filter_map(|piece| match piece {
                Piece::Literal(part) if part.chars().any(char::is_control) => Some(part),
                _ => None,
            })
            .try_for_each(|part| check(part)),
    }
}

fn single_component(variable: Variable, metadata: &Metadata) -> Result<&str, TemplateError> {
    let name = variable.name();
    let value = variable.value(metadata).ok_or(TemplateError::NoValue(name))?;
    let single = !matches!(value, "" | "." | "..") && !value.contains(|c: char| c == '/' || c.is_control());
    if single { Ok(value) } else { Err(TemplateError::Value { variable: name, value: value.to_owned() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata() -> Metadata {
        Metadata { pvc_name: Some("data".into()), pvc_namespace: Some("shop".into()), pv_name: Some("pvc-0123".into()) }
    }

    fn render(template: &str, metadata: &Metadata) -> Result<String, TemplateError> {
        template.parse::<Template>()?.render(metadata).map(|path| path.to_string())
    }

    #[test]
    fn fills_in_every_variable() {
        for (template, path) in [
            ("fixed", "fixed"),
            ("${pvc.metadata.namespace}/${pvc.metadata.name}", "shop/data"),
            ("k8s/${pv.metadata.name}", "k8s/pvc-0123"),
            ("${pvc.metadata.namespace}-${pvc.metadata.name}.d/$x", "shop-data.d/$x"),
            ("a}b", "a}b"),
        ] {
            assert_eq!(render(template, &metadata()), Ok(path.to_owned()), "{template}");
        }
    }

    #[test]
    fn keeps_its_text_but_for_slashes_that_change_nothing() {
        let text = "${pvc.metadata.namespace}/x";
        for written in [text.to_owned(), format!("/{text}/"), text.replace('/', "//")] {
            assert_eq!(written.parse::<Template>().expect("legal").to_string(), text, "{written}");
        }
        assert_eq!(render("/${pvc.metadata.namespace}/${pvc.metadata.name}", &metadata()), Ok("shop/data".to_owned()));
    }

    #[test]
    fn names_the_variable_that_was_meant() {
        let error = "${pvc.metadata.nme}".parse::<Template>().expect_err("a typo");
        assert_eq!(
            error.to_string(),
            "\"${pvc.metadata.nme}\" is not known, did you mean ${pvc.metadata.name}?; known are ${pvc.metadata.name}, \
             ${pvc.metadata.namespace}, ${pv.metadata.name}"
        );
        let error = "${user}".parse::<Template>().expect_err("not known").to_string();
        assert!(error.starts_with("\"${user}\" is not known; known are"), "{error}");
    }

    #[test]
    fn an_unknown_variable_cannot_forge_a_line_or_flood_a_log() {
        let error = "${a\nb}".parse::<Template>().expect_err("not known").to_string();
        assert!(error.starts_with(r#""${a\nb}" is not known"#), "{error}");
        let error = format!("${{{}}}", "x".repeat(100_000)).parse::<Template>().expect_err("not known").to_string();
        assert!(error.len() < 300, "{} bytes", error.len());
    }

    #[test]
    fn a_wrong_template_is_refused_before_any_value_is_known() {
        for text in ["", "/", "//", "a/../b", "./a", ".berth/x", "//.berth/x", "a\n${pv.metadata.name}"] {
            assert!(matches!(text.parse::<Template>(), Err(TemplateError::Path(_))), "{text:?}");
        }
        for text in ["${pv.metadata.name", "a/${", "${${pv.metadata.name}"] {
            let error = text.parse::<Template>().expect_err(text);
            assert!(matches!(error, TemplateError::Unclosed(_) | TemplateError::UnknownVariable { .. }), "{text:?}");
        }
    }

    #[test]
    fn a_value_is_one_component_or_nothing() {
        for value in ["", ".", "..", "a/b", "/", "../../etc", "a\0", "a\n"] {
            let values = Metadata { pvc_name: Some(value.into()), ..metadata() };
            let error = render("x-${pvc.metadata.name}", &values).expect_err(value);
            assert!(matches!(error, TemplateError::Value { .. }), "{value:?}: {error}");
        }
        let values = Metadata { pvc_name: Some(".berth".into()), ..metadata() };
        assert!(matches!(render("${pvc.metadata.name}/x", &values), Err(TemplateError::Path(PathError::Reserved(_)))));
        let long = Metadata { pvc_name: Some("n".repeat(253)), ..metadata() };
        let joined = render("${pvc.metadata.namespace}-${pvc.metadata.name}", &long);
        assert!(matches!(joined, Err(TemplateError::Path(PathError::LongComponent(_)))));
    }

    #[test]
    fn pieces_cannot_join_to_dots() {
        for (template, value) in
            [(".${pvc.metadata.name}", "."), ("${pvc.metadata.name}.", "."), (".${pvc.metadata.name}", "berth")]
        {
            let values = Metadata { pvc_name: Some(value.into()), ..metadata() };
            assert!(render(template, &values).is_err(), "{template} with {value}");
        }
    }

    #[test]
    fn says_how_to_send_what_is_missing() {
        let error = render("${pvc.metadata.name}", &Metadata::default()).expect_err("nothing known").to_string();
        assert!(error.starts_with("${pvc.metadata.name} has no value"), "{error}");
        assert!(error.ends_with("--extra-create-metadata"), "{error}");
    }
}
