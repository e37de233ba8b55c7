//! Whatever the values are, a template gives the components that it shows, or nothing.

use volume::{SubPath, Template, template::Metadata};

use super::{assert_below_share, assert_readable, texts};

/// A template, and up to three values for its variables.
pub fn check(input: &[u8]) {
    let texts = texts(input);
    let [text, values @ ..] = &texts[..] else { return };
    let template: Template = match text.parse() {
        Ok(template) => template,
        Err(error) => return assert_readable(&error),
    };
    assert_eq!(template.to_string().parse(), Ok(template.clone()), "a template reads back as itself");
    let value = |index: usize| values.get(index).cloned();
    let metadata = Metadata { pvc_name: value(0), pvc_namespace: value(1), pv_name: value(2) };
    let path = match template.render(&metadata) {
        Ok(path) => path,
        Err(error) => return assert_readable(&error),
    };
    assert_below_share(path.as_str());
    assert_eq!(path.as_str().parse::<SubPath>(), Ok(path.clone()));
    // No variable's name holds a slash, so the text of the template can be cut there.
    let shown = text.split('/').filter(|component| !component.is_empty());
    let shown = shown.map(|component| filled_in(component, &metadata)).collect::<Vec<_>>();
    assert_eq!(path.components().collect::<Vec<_>>(), shown);
}

/// A component with its values: text up to a variable, the variable's value, and so on.
fn filled_in(component: &str, metadata: &Metadata) -> String {
    let mut pieces = component.split("${");
    let mut filled = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (name, after) = piece.split_once('}').expect("a template that was read has no open variable");
        let value = match name {
            "pvc.metadata.name" => &metadata.pvc_name,
            "pvc.metadata.namespace" => &metadata.pvc_namespace,
            "pv.metadata.name" => &metadata.pv_name,
            other => panic!("{other:?} is no variable"),
        };
        filled += value.as_deref().expect("a path was made with the value");
        filled += after;
    }
    filled
}
